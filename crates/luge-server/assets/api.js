// What the page asks the server, and what it says where that fails. One key for all
// requests, kept for as long as the tab is open.

const KEY = "luge.key";

// Something went wrong, in words for people. `status` is that of HTTP, 0 where the
// server was not reached; `code` is the server's own.
class Failure extends Error {
  constructor(message, { status = 0, code = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const GONE = "The server does not answer. See whether luge serve is still running, then retry.";
const BROKEN = "The connection ended before the answer did. What came is kept; retry asks again.";

async function request(path, body = null, signal = null) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: {
        ...(body && { "content-type": "application/json" }),
        ...(key && { authorization: `Bearer ${key}` }),
      },
      body: body && JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Failure(GONE);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

// What the server has to say about a request that it does not take.
async function refusal(response) {
  const { status } = response;
  const said = (await response.json().catch(() => null))?.error ?? {};
  const sentence = typeof said.message === "string" ? said.message : `The server says ${status}.`;
  const wait = Number(response.headers.get("retry-after"));
  const later = wait > 0 ? `in ${wait} s` : "in a moment";
  const words = {
    401: sessionStorage.getItem(KEY) ? "The server does not know this key." : "No key was given.",
    429: `The server is busy: too many requests are waiting. Retry ${later}.`,
    503: `The server is not ready: ${sentence} Retry ${later}.`,
  };
  return new Failure(words[status] ?? sentence, { status, code: said.code ?? null });
}

// The models that are served, with the methods they can be decoded with.
async function models() {
  const answer = await request("v1/models").then((response) => response.json().catch(() => null));
  if (!Array.isArray(answer?.data) || !answer.data.length)
    throw new Failure("What answers here is no server of luge: it names no models.");
  return answer.data;
}

// The chunks of an answer as they come. Ends with the stream; throws where the stream
// breaks off or tells of an error.
async function* chunks(body, signal) {
  const response = await request("v1/chat/completions", body, signal);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new Failure(BROKEN);
    }
    if (chunk.error) {
      const { message, code } = chunk.error;
      throw new Failure(`${message ?? "The server could not go on."}`, { status: 200, code });
    }
    yield chunk;
  }
  throw new Failure(BROKEN);
}

// The data of a stream's events. Comments keep the connection alive and say nothing.
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : new Failure(BROKEN);
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Asks for a key; true if one was given.
function askForKey(why) {
  const dialog = $("login");
  $("login-why").textContent = why;
  $("key").value = "";
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    $("login-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      const key = $("key").value.trim();
      const given = dialog.returnValue === "use" && key !== "";
      if (given) sessionStorage.setItem(KEY, key);
      $("key").value = "";
      resolve(given);
    };
  });
}
