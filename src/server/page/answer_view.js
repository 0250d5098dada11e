// One server's answer: its text, what it took, and what went wrong.

function frame(update) {  // at most once a frame, and in hidden tabs, which have no frames, on flush()
  let asked = false;
  return {
    ask() {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { if (asked) this.flush(); });
    },
    flush() {
      asked = false;
      update();
    },
  };
}

class AnswerView {
  constructor() {
    this.text = make("div", {className: "text waiting"});
    this.stats = make("p", {className: "stats"});
    this.view = new TextView(this.text);
    this.source = "";
    this.tokens = [];  // of logprobs: {key, text, probability}
    this.usage = null;
    this.finish = null;
    this.problem = null;
    this.frame = frame(() => keepInSight(() => this.draw(true)));
  }

  // Asks and shows; resolves when the answer has ended, however it did.
  async ask(server, body, signal) {
    this.start = performance.now();
    this.text.classList.add("writing");
    try {
      await server.streamChat(body, signal, (chunk) => this.add(chunk));
    } catch (error) {
      if (error.name === "AbortError") this.finish = "stopped";
      else this.problem = error;
    }
    this.frame.flush();
    keepInSight(() => this.end());
  }

  add(chunk) {
    if (chunk.usage) this.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    for (const token of choice.logprobs?.content ?? [])
      this.tokens.push({key: token.bytes ? token.bytes.join() : token.token, text: token.token,
                        probability: Math.exp(token.logprob)});
    const text = choice.delta?.content ?? "";
    const calls = (choice.delta?.tool_calls ?? []).map((call) => `\n[calls ${call.function?.name}]`).join("");
    if (text + calls !== "" || choice.finish_reason) {
      this.last = performance.now();
      this.first ??= this.last;
      this.firstTokens ??= this.usage?.completion_tokens ?? 0;
    }
    if (text + calls !== "") {
      this.source += text + calls;
      this.frame.ask();
    }
    if (choice.finish_reason) this.finish = choice.finish_reason;
  }

  draw(growing) {
    if (this.source !== "") this.text.classList.remove("waiting");
    this.view.update(this.source, growing);
    this.stats.replaceChildren(...this.figures().map((figure) => make("span", {}, figure)));
  }

  end() {
    this.draw(false);
    this.text.classList.remove("writing", "waiting");
    this.text.hidden = this.problem !== null && this.source === "";
    if (this.problem) this.text.after(this.problemBox());
    else if (this.source === "" && this.finish !== "stopped") this.text.append(make("p", {className: "soft"}, "(an empty answer)"));
  }

  problemBox() {
    const box = make("p", {className: "problem", role: "alert"}, this.problem.message);
    if ([401, 403].includes(this.problem.status)) {
      const field = settings.field(this.server?.own === false ? "otherKey" : "key");
      box.append(make("button", {type: "button", className: "small", onclick: () => settings.reveal(field)}, "Enter a key"));
    }
    return box;
  }

  figures() {
    const figures = [], usage = this.usage;
    if (usage) {
      figures.push(plural(usage.completion_tokens, "token"));
      // The first token is the prompt's; what follows is decoding.
      const tokens = usage.completion_tokens - this.firstTokens, seconds = (this.last - this.first) / 1000;
      if (tokens > 0 && seconds > 0) figures.push(`${(tokens / seconds).toFixed(1)} tokens/s`);
    }
    if (this.first) figures.push(`first after ${((this.first - this.start) / 1000).toFixed(2)} s`);
    if (usage) {
      const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
      figures.push(`prompt ${plural(usage.prompt_tokens, "token")}, ${readableNumber(cached)} from the cache`);
    }
    if (this.finish === "stopped") figures.push("stopped");
    if (this.finish === "length") figures.push("cut at the longest answer");
    return figures;
  }
}

// Keeps the end of the conversation in sight while it grows, unless the reader has scrolled away from it.
let atEnd = true;
function keepInSight(change) {
  change();
  const log = byId("log");
  if (atEnd) log.scrollTop = log.scrollHeight;
}
