// Asking the server. What has not changed is not sent again.

const MOST_KEPT = 60;
const kept = new Map();

/** What the server could not answer, as a sentence. */
export class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/** Return the answer to a question; `isNew` says whether it is another than the last time. */
export async function ask(name, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) query.append(key, each);
  }
  const where = `/api/${name}?${query}`;
  const known = kept.get(where);
  let response;
  try {
    response = await fetch(where, {
      cache: "no-store",
      headers: known ? { "If-None-Match": known.tag } : {},
    });
  } catch {
    throw new Refusal("fedlab ui does not answer: it has ended, or cannot be reached. The page shows what it last said.", 0);
  }
  if (response.status === 304 && known) return { content: known.content, isNew: false };
  if (response.status === 401) {
    throw new Refusal("fedlab ui was started again: open the address that it printed.", 401);
  }
  const content = await response.json();
  if (!response.ok) throw new Refusal(content.error, response.status);
  kept.delete(where);
  kept.set(where, { tag: response.headers.get("ETag"), content });
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return { content, isNew: true };
}

/** Return where a run's file can be read. */
export function fileAddress(run, name) {
  return `/file?${new URLSearchParams({ run, name })}`;
}
