// Everything that is pressed and typed, and the start.

const kIdeas = ["Why is the sky blue?", "Explain what a KV cache is to a ten-year-old.", "Write a function that reverses a list."];

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
