// The conversation: its turns, and the next one.

const turns = [];      // {role, content, root}; an assistant's content is null where there is no answer
let running = null;    // the AbortController of the answer that is being written
let models = [];       // of /v1/models

function messages() {
  const system = settings.text("system");
  const list = system ? [{role: "system", content: system}] : [];
  turns.forEach((turn, index) => {
    const next = turns[index + 1];
    if (turn.content === null || (next && next.content === null)) return;  // a failed answer and its question
    list.push({role: turn.role, content: turn.content});
  });
  return list;
}

function notice(text) { byId("notice").textContent = text; }

function setRunning(controller) {
  running = controller;
  const button = byId("send");
  button.textContent = running ? "Stop" : "Send";
  button.title = running ? "Stop writing (Escape)" : "";
  byId("log").setAttribute("aria-busy", String(Boolean(running)));
  cacheView.wake();
}

function addTurn(turn) {
  byId("welcome").hidden = true;
  turns.push(turn);
  byId("log").append(turn.root);
}

function addQuestion(text) {
  const root = make("article", {className: "own", "aria-label": "You"}, make("div", {className: "text"}));
  const view = new TextView(root.firstChild);
  view.update(text, false);
  addTurn({role: "user", content: text, root});
}

function buttons(turn, ...views) {
  const text = () => views.length === 1 ? views[0].source : views.map((view) => `${view.name}:\n${view.source}`).join("\n\n");
  const copy = make("button", {type: "button", className: "small"}, "Copy");
  copy.addEventListener("click", () => copyText(text(), copy));
  const again = make("button", {type: "button", className: "small again"}, "Regenerate");
  again.addEventListener("click", regenerate);
  return make("div", {className: "actions idle"}, copy, again);
}

async function answer() {
  const compare = settings.field("compare").checked;
  const body = {model: byId("model").value || undefined, messages: messages(),
                ...(compare ? settings.greedyParameters() : settings.parameters())};
  const other = compare ? settings.otherServer() : null;
  const turn = {role: "assistant", content: null, root: make("article", {className: "answer"})};
  const views = [Object.assign(new AnswerView(), {server: settings.ownServer(), name: byId("dtype").textContent || "this server"})];
  if (other) views.push(Object.assign(new AnswerView(), {server: other, name: other.base}));
  const actions = buttons(turn, ...views);
  layOut(turn.root, views, actions);
  const controller = new AbortController();
  setRunning(controller);
  atEnd = true;
  keepInSight(() => addTurn(turn));
  say("The answer is being written");
  const asked = [views[0].ask(views[0].server, body, controller.signal)];
  if (other) asked.push(askOther(views[1], body, controller.signal));
  await Promise.all(asked);
  if (other) keepInSight(() => judge(turn.root, views));
  const nothing = views[0].problem || (views[0].finish === "stopped" && views[0].source === "");
  turn.content = nothing ? null : views[0].source;
  actions.classList.remove("idle");
  actions.firstChild.hidden = views.every((view) => view.source === "");
  actions.querySelector(".again").textContent = views.some((view) => view.problem) ? "Try again" : "Regenerate";
  setRunning(null);
  const problem = views.find((view) => view.problem)?.problem;
  if (problem?.param) blameField(problem);
  say(problem ? "" : `The answer has ended: ${views[0].figures().join(", ")}`);
}

async function askOther(view, body, signal) {
  try {
    const found = await describeOther(view.server, models.find(({id}) => id === body.model), byId("dtype").textContent);
    view.name = found.dtype;
    view.heading.textContent = found.dtype;
    byId("other-state").textContent = found.state;
    await view.ask(view.server, {...body, model: found.model}, signal);
  } catch (error) {
    view.problem = error;
    keepInSight(() => view.end());
  }
}

function layOut(root, views, actions) {
  if (views.length === 1) {
    root.setAttribute("aria-label", "Answer");
    root.append(views[0].text, make("div", {className: "foot"}, views[0].stats, actions));
    return;
  }
  root.className += " pair";
  root.setAttribute("aria-label", "Two answers");
  const sides = views.map((view, index) => {
    view.heading = make("span", {}, view.name);
    return make("section", {className: "side"}, make("h3", {}, view.heading, make("small", {}, index ? ` at ${view.server.base}` : " here, and in the conversation")),
                view.text, view.stats);
  });
  root.append(make("div", {className: "sides"}, ...sides), make("p", {className: "verdict"}, "Comparing at temperature 0 …"), make("div", {className: "foot"}, actions));
}

function judge(root, views) {
  const verdict = root.querySelector(".verdict");
  if (views.some((view) => view.problem)) {
    verdict.textContent = "Nothing to compare: there is no second answer.";
    return;
  }
  const found = compareAnswers(...views);
  const [judgement, support] = verdictInWords(found, views.map((view) => view.name));
  verdict.classList.toggle("differs", !found.same);
  verdict.replaceChildren(make("strong", {}, judgement), support);
  if (!found.same) for (const view of views) markDifference(view, found.at);
}

// The server's error names the field.
function blameField(problem) {
  const input = settings.field(problem.param.split(/[.[]/)[0]);
  if (input instanceof Element) settings.blame(input, problem.message);
}
