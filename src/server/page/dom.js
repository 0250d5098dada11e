// Elements. Text becomes text nodes, nowhere HTML: what a model or a server says cannot become markup.
const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const say = (text) => { byId("status").textContent = text; };  // to screen readers

function readableNumber(value) { return Math.round(value).toLocaleString("en"); }

const plural = (count, noun) => `${readableNumber(count)} ${noun}${count === 1 ? "" : "s"}`;

async function copyText(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {  // without HTTPS there is no clipboard but the old way
    const area = make("textarea", {value: text, className: "unseen"});
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.dataset.label ??= button.textContent;
  button.textContent = done ? "Copied" : "No access";
  say(done ? "Copied" : "The browser gives no access to the clipboard");
  setTimeout(() => { button.textContent = label; }, 1500);
}
