// A server of the OpenAI API: this page's own, or the second one of a comparison.

class ServerError extends Error {
  constructor(words, {status = 0, param = null} = {}) {
    super(words);
    this.status = status;
    this.param = param;
  }
}

function refusalInWords(response, error, hasKey) {
  const said = error.message || response.statusText || `status ${response.status}`;
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const later = wait ? ` Try again in ${plural(wait, "second")}.` : " Try again later.";
  switch (response.status) {
    case 401:
    case 403:
      return hasKey ? "The server does not accept this API key."
                    : "The server asks for an API key. Enter it in the settings, under Connection.";
    case 429: return `The server is full: ${said}.${later}`;
    case 503: return `The server takes no requests now: ${said}.${later}`;
    default:
      return response.status >= 500 ? `The server failed: ${said}` : `The server refused the request: ${said}`;
  }
}

class Server {
  constructor(base, key, own = false) {
    this.base = base;  // without a slash at its end
    this.key = key;
    this.own = own;
  }

  async fetch(path, options = {}) {
    const headers = {...options.headers};
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    let response;
    try {
      response = await fetch(this.base + path, {...options, headers, cache: "no-store"});
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(
        this.own ? "The server does not answer. Is it still running?"
                 : `No answer from ${this.base}: it is not running there, or it was not started with ` +
                   `--allowed-origins ${location.origin}`);
    }
    if (response.ok) return response;
    const body = await response.json().catch(() => ({}));
    const error = body?.error ?? {};
    throw new ServerError(refusalInWords(response, error, this.key !== ""),
                          {status: response.status, param: error.param ?? null});
  }

  async models() { return (await (await this.fetch("/v1/models")).json()).data; }
  async metrics() { return parseMetrics(await (await this.fetch("/metrics")).text()); }
  async version() { return (await (await this.fetch("/version")).json()).version; }

  // Calls on_chunk with every chunk of the answer, as they come; rejects with a ServerError or an AbortError.
  async streamChat(body, signal, onChunk) {
    const response = await this.fetch("/v1/chat/completions", {
      method: "POST", signal, headers: {"Content-Type": "application/json"},
      body: JSON.stringify({...body, stream: true,
                            stream_options: {include_usage: true, continuous_usage_stats: true}}),
    });
    for await (const data of serverSentEvents(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ServerError(`The server failed: ${chunk.error.message}`);
      onChunk(chunk);
    }
    throw new ServerError("The connection ended before the answer did.");
  }
}

async function* serverSentEvents(stream) {
  const reader = stream.getReader(), decoder = new TextDecoder();
  let pending = "";
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      pending += decoder.decode(value, {stream: true});
      const events = pending.split(/\r?\n\r?\n/);
      pending = events.pop();
      for (const event of events) {
        const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).replace(/^ /, "")).join("\n");
        if (data) yield data;
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The connection broke before the answer ended.");
  } finally {
    reader.cancel().catch(() => {});
  }
}
