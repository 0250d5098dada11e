// Whether answers change between cache dtypes: two servers' answers to the same conversation, side by side.

function commonLength(a, b) {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) ++length;
  return length;
}

const words = (text) => text.split(/\s+/).filter(Boolean);

// The length of the longest common subsequence: words that both have, in order.
function commonWords(a, b) {
  let row = new Uint32Array(b.length + 1);
  for (const word of a) {
    const next = new Uint32Array(b.length + 1);
    for (let i = 0; i < b.length; ++i) next[i + 1] = word === b[i] ? row[i] + 1 : Math.max(row[i + 1], next[i]);
    row = next;
  }
  return row[b.length];
}

// {same, tokens, first, words, shared, total, at, token}: how alike two ended answers are. tokens: of the common
// beginning, or null where a server has not said its tokens; at: where their texts begin to differ.
function compareAnswers(a, b) {
  const keys = [a, b].map((answer) => answer.tokens.map(({key}) => key));
  const known = keys.every((list, index) => list.length > 0 || [a, b][index].source === "");
  const tokens = known ? commonLength(...keys) : null;
  const at = commonLength(a.source, b.source);
  const [left, right] = [words(a.source), words(b.source)];
  const cut = a.finish === "stopped" || b.finish === "stopped";
  const whole = known ? Math.min(keys[0].length, keys[1].length) : 0;
  const texts = cut ? at === Math.min(a.source.length, b.source.length) : a.source === b.source;
  return {
    same: texts && (!known || tokens === (cut ? whole : Math.max(keys[0].length, keys[1].length))),
    cut, tokens, at,
    lengths: keys.map((list) => list.length),
    words: commonLength(left, right),
    shared: commonWords(left.slice(0, 4000), right.slice(0, 4000)),
    total: Math.max(left.length, right.length),
    next: known ? [a.tokens[tokens], b.tokens[tokens]] : [undefined, undefined],
  };
}

const quoted = (text) => `“${text.replace(/\n/g, "↵")}”`;

// [the judgement, what supports it]
function verdictInWords(found, names) {
  const count = found.tokens === null ? plural(found.words, "word") : `${plural(found.tokens, "token")} (${plural(found.words, "word")})`;
  if (found.same)
    return [found.cut ? "Alike as far as both went:" : "The same answer:", ` ${count}.`];
  const begin = found.tokens === null
    ? ` The first ${count} are the same.`
    : ` The first ${count} are the same, of ${found.lengths.map(readableNumber).join(" and ")} tokens.`;
  const said = (token, name) => token ? `${name} says ${quoted(token.text)} (${percent(token.probability)})` : `${name} ends`;
  const turn = found.next.some(Boolean) ? ` Then ${said(found.next[0], names[0])}, and ${said(found.next[1], names[1])}.` : "";
  const all = found.total ? ` In all, ${percent(found.shared / found.total)} of the words are in both, in this order.` : "";
  return ["The answers differ.", begin + turn + all];
}

// From the word in which they part to its end.
function markDifference(answer, at) {
  const text = answer.source;
  let start = Math.min(at, text.length);
  while (start > 0 && start < text.length && /\S/.test(text[start - 1]) && /\S/.test(text[start])) --start;
  while (start < text.length && /\s/.test(text[start])) ++start;
  const end = start + (/^\S*/.exec(text.slice(start))[0].length || 1);
  answer.view.mark(start, end, "The first difference");
}

// What a second server is: {model, dtype, state}, state in words. Throws ServerError.
async function describeOther(server, ownModel, ownDtype) {
  const [models, metrics] = await Promise.all([server.models(), server.metrics()]);
  const model = models[0], dtype = cacheInfo(metrics).cache_dtype ?? "unknown dtype";
  const parts = [`Its cache is ${dtype}, this one’s is ${ownDtype}.`];
  if (dtype === ownDtype) parts.push("Both are the same: differences are not to be expected.");
  if (ownModel && model.root !== ownModel.root && model.id !== ownModel.id)
    parts.push(`It serves another model (${model.id}): what differs may be the model.`);
  return {model: model.id, dtype, state: parts.join(" ")};
}
