// The conversation, and everything that is pressed.

const kIdeas = ["Why is the sky blue?", "Explain what a KV cache is to a ten-year-old.", "Write a function that reverses a list."];
const turns = [];      // {role, content, root}; an assistant's content is null where it failed
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
  turn.content = views[0].problem ? null : views[0].source;
  actions.classList.remove("idle");
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

async function begin(prepare) {
  if (running) return say("An answer is being written. Escape stops it.");
  notice("");
  try {
    settings.parameters();
    if (settings.field("compare").checked) settings.otherServer();
  } catch (error) {
    if (!(error instanceof InvalidSetting)) throw error;
    notice(error.message);
    say(error.message);
    settings.blame(error.input, error.message);
    settings.reveal(error.input);
    return;
  }
  prepare();
  await answer();
}

function send() {
  const text = byId("message").value.trim();
  if (text === "") return;
  begin(() => {
    if (turns.at(-1)?.content === null) turns.at(-2).root.classList.add("left-out");
    byId("message").value = "";
    fitMessage();
    addQuestion(text);
  });
}

function regenerate() {
  byId("message").focus();
  begin(() => turns.pop().root.remove());
}

function clearChat() {
  running?.abort();
  for (const turn of turns.splice(0)) turn.root.remove();
  byId("welcome").hidden = false;
  notice("");
  say("A new conversation");
  showPanel(false);
  byId("message").focus();
}

function fitMessage() {
  const area = byId("message");
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

async function loadModels() {
  const server = settings.ownServer();
  try {
    models = await server.models();
    byId("model").replaceChildren(...models.map(({id}) => make("option", {value: id}, id)));
    notice("");
  } catch (error) {
    notice(error.message);
    if (error.status === 401) byId("connection-card").open = true;
  }
  byId("version").textContent = `Octet ${await server.version().catch(() => "")}`;
}

async function checkOther() {
  if (!settings.field("compare").checked && settings.text("other") === "") return;
  const state = byId("other-state");
  state.textContent = "Asking …";
  try {
    state.textContent = (await describeOther(settings.otherServer(), models[0], byId("dtype").textContent)).state;
  } catch (error) {
    state.textContent = error.message;
  }
}

function pressed(event) {
  if (event.key !== "Escape" || event.isComposing) return;
  if (running) running.abort();
  else if (panelCovers()) {
    showPanel(false);
    byId("toggle").focus();
  }
}

function start() {
  settings.build();
  const message = byId("message"), log = byId("log");
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  message.addEventListener("input", fitMessage);
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else send();
  });
  log.addEventListener("scroll", () => { atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48; });
  new ResizeObserver(() => keepInSight(() => {})).observe(log);
  byId("clear").addEventListener("click", clearChat);
  byId("toggle").addEventListener("click", () => showPanel(!document.body.classList.contains("settings-open")));
  for (const name of ["other", "otherKey", "compare"]) settings.field(name).addEventListener("change", checkOther);
  settings.field("key").addEventListener("change", loadModels);
  document.addEventListener("keydown", pressed);
  byId("welcome").querySelector(".ideas").append(...kIdeas.map((idea) => {
    const button = make("button", {type: "button", className: "small"}, idea);
    button.addEventListener("click", () => { message.value = idea; message.focus(); send(); });
    return button;
  }));
  loadModels();
  cacheView.watch();
}
start();
