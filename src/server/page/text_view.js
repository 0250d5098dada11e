// An answer as it grows: paragraphs, and code between fences of three backticks or tildes.

// [{code, lang, start, text}]; start: where text begins in the source. While it grows, a last line that may become a
// fence is held back, so that nothing that was shown changes its kind.
function splitFences(source, growing) {
  const blocks = [];
  let block = null, fence = "", position = 0;
  const lines = source.split("\n");
  lines.forEach((line, index) => {
    const last = index === lines.length - 1, start = position;
    position += line.length + 1;
    if (growing && last && /^ {0,3}(`{0,2}$|~{0,2}$|`{3}|~{3})/.test(line)) return;
    const found = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/.exec(line);
    if (fence && found && found[1][0] === fence[0] && found[1].length >= fence.length && !found[2]) {
      fence = "";
      block = null;
    } else if (!fence && found) {
      fence = found[1];
      block = {code: true, lang: found[2], start: start + line.length + 1, text: ""};
      blocks.push(block);
    } else {
      if (!block && line.trim() === "") return;
      if (!block) blocks.push(block = {code: false, lang: "", start, text: ""});
      block.text += last ? line : line + "\n";
    }
  });
  return blocks.filter((each) => each.code || each.text.trim() !== "");
}

class TextView {
  constructor(element) {
    this.element = element;
    this.source = "";
    this.shown = [];  // {code, node}
  }

  update(source, growing) {
    this.source = source;
    const blocks = splitFences(source, growing);
    blocks.forEach((block, index) => {
      let shown = this.shown[index];
      if (!shown || shown.code !== block.code) {
        this.truncate(index);
        shown = this.add(block);
      }
      shown.start = block.start;
      const text = block.text.replace(/\n+$/, "");  // the last line break is the fence's
      const old = shown.node.data;
      if (text.startsWith(old)) shown.node.appendData(text.slice(old.length));
      else shown.node.data = text;
    });
    this.truncate(blocks.length);
  }

  add(block) {
    const node = document.createTextNode("");
    const shown = {code: block.code, node, root: null};
    if (block.code) {
      shown.root = make("pre", {tabIndex: 0});
      if (block.lang) shown.root.append(make("span", {className: "lang"}, block.lang));
      shown.root.append(make("code", {}, node));
    } else {
      shown.root = make("p", {}, node);
    }
    this.element.append(shown.root);
    this.shown.push(shown);
    return shown;
  }

  truncate(length) {
    for (const {root} of this.shown.splice(length)) root.remove();
  }

  // Marks [start, end) of the source; nothing where that is in no block. At the end of the text: says so.
  mark(start, end, label) {
    for (const {node, start: begin} of this.shown) {
      const from = Math.max(start - begin, 0), to = Math.min(end - begin, node.data.length);
      if (from >= to) continue;
      const middle = node.splitText(from);
      middle.splitText(to - from);
      const mark = make("mark", {title: label});
      middle.replaceWith(mark);
      mark.append(middle);
      return;
    }
    if (start >= this.source.trimEnd().length)
      (this.shown.at(-1)?.root ?? this.element).append(make("mark", {title: label}, "■ ends"));
  }
}
