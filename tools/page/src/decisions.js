// Decisions: as the file had them, and as they were changed here. Kept in this browser until they are saved.

export const COLUMNS = ["shot_id", "take", "fingerprint", "decision", "prompt", "note", "frame", "rating", "decided_at"];
const OWN = ["decision", "prompt", "note", "rating"];
const NOTHING = Object.freeze({ decision: "", prompt: "", note: "", rating: "", decided_at: "" });
const known = (column) => column.trim().toLowerCase().replace(/[\s-]+/g, "_");

const keyOf = (fingerprint, shot_id, take, frame) => `${fingerprint || `${shot_id}#${take}`}|${frame ?? ""}`;

// Reads rows of a file with these columns, whatever a spreadsheet has made of them.
function reader(columns) {
  const at = Object.fromEntries(columns.map((column, index) => [known(column), index]));
  const cell = (row, name) => (at[name] == null ? "" : restored(String(row[at[name]] ?? "").trim()));
  const number = (text) => (text === "" ? null : Number(text.replace(",", ".")));
  return (row) => {
    const said = Object.fromEntries(COLUMNS.map((name) => [name, cell(row, name)]));
    return { ...said, frame: number(said.frame), take: number(said.take), decision: said.decision.toLowerCase() };
  };
}

export class Decisions {
  constructor(data, changed) {
    this._key = `animatic review ${data.key}`;
    this._changed = changed;
    this._server = null;
    this._saving = null;
    this.problem = "";
    this.changes = this._stored();
    this.load(data.decisions || {});
  }

  load(file) {
    this.columns = file.columns || [...COLUMNS];
    this.rows = file.rows || [];
    this.etag = file.etag;
    this.base = new Map();
    this._places = new Map(); // of the rows in the file, by what they are about
    const read = reader(this.columns);
    this.rows.forEach((row, place) => {
      const said = read(row), key = keyOf(said.fingerprint, said.shot_id, said.take, said.frame);
      this.base.set(key, said);
      this._places.set(key, place);
    });
    this._index();
  }

  _index() {
    this.all = new Map(this.base);
    for (const [key, change] of this.changes) this.all.set(key, change);
    this.notesBy = new Map();
    for (const row of this.all.values()) {
      if (row.frame == null || !row.note) continue;
      const key = keyOf(row.fingerprint, row.shot_id, row.take, null);
      this.notesBy.set(key, [...(this.notesBy.get(key) || []), row].sort((a, b) => a.frame - b.frame));
    }
  }

  of(take) {
    return this._find(this.all, take, null) || NOTHING;
  }

  notesOn(take) {
    return this.notesBy.get(keyOf(take.fp)) || (isNamed(take) && this.notesBy.get(keyOf("", take.shot.id, take.n))) || [];
  }

  _find(rows, take, frame) {
    const own = take.fp && rows.get(keyOf(take.fp, "", "", frame));
    return own || (isNamed(take) ? rows.get(keyOf("", take.shot.id, take.n, frame)) : undefined);
  }

  change(take, values, frame = null) {
    const old = this._find(this.all, take, frame) || NOTHING;
    const row = {
      ...NOTHING, ...old, ...values, frame,
      shot_id: take.shot.id, take: take.n ?? null, fingerprint: take.fp || "",
      decided_at: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    };
    const was = this._find(this.base, take, frame) || NOTHING, key = keyOf(row.fingerprint, row.shot_id, row.take, frame);
    if (OWN.every((name) => (was[name] || "") === (row[name] || ""))) this.changes.delete(key);
    else this.changes.set(key, row);
    this._store();
    this._index();
    this._changed(take.shot);
    if (this._server) this._save();
  }

  // In this browser.

  _stored() {
    try {
      return new Map(JSON.parse(localStorage.getItem(this._key) || "[]"));
    } catch {
      return new Map();
    }
  }

  _store() {
    try {
      if (this.changes.size) localStorage.setItem(this._key, JSON.stringify([...this.changes]));
      else localStorage.removeItem(this._key);
    } catch {
      this.problem = "this browser keeps nothing: save decisions.csv before you close the page";
    }
  }

  // As a file. A row that names a take by shot and number alone is rewritten by a change of that very take only: another
  // version's take of the number goes to a row of its own.

  csv(takes) {
    const columns = [...this.columns];
    for (const name of COLUMNS) if (!columns.some((column) => known(column) === name)) columns.push(name);
    const at = Object.fromEntries(columns.map((column, index) => [known(column), index]));
    const rows = this.rows.map((row) => columns.map((_, index) => String(row[index] ?? "")));
    const gone = new Set();
    for (const [key, change] of this.changes) {
      const take = takes.get(change.fingerprint), named = keyOf("", change.shot_id, change.take, change.frame);
      const place = this._places.get(key) ?? (take && isNamed(take) ? this._places.get(named) : undefined);
      const isNothing = OWN.every((name) => !change[name]);
      if (place == null) {
        if (isNothing) continue;
        rows.push(columns.map(() => ""));
      } else if (isNothing && change.frame != null) gone.add(place);
      const row = rows[place ?? rows.length - 1];
      for (const name of COLUMNS) row[at[name]] = marked(String(change[name] ?? ""));
    }
    const lines = [columns, ...rows.filter((_, index) => !gone.has(index))];
    return "\ufeff" + lines.map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  // On the server that served this page.

  async findServer() {
    if (!/^http:$/.test(location.protocol) || !["127.0.0.1", "localhost"].includes(location.hostname)) return;
    try {
      const reply = await fetch("decisions.json", { cache: "no-store" });
      if (!reply.ok || !(reply.headers.get("Content-Type") || "").startsWith("application/json")) return;
      this._server = true;
      this.load(await reply.json());
      this._changed(null);
      if (this.changes.size) this._save();
    } catch {
      this._server = null;
    }
  }

  get isServed() {
    return Boolean(this._server);
  }

  _save() {
    this._saving = (this._saving || Promise.resolve()).then(() => this._send());
    return this._saving;
  }

  async _send() {
    const sent = new Map(this.changes);
    if (!sent.size) return;
    for (let tries = 0; tries < 3; tries++) {
      let reply;
      try {
        reply = await fetch("decisions", {
          method: "PUT",
          headers: { "Content-Type": "application/json", "If-Match": `"${this.etag}"` },
          body: JSON.stringify([...sent.values()]),
        });
      } catch {
        this.problem = "the server does not answer: decisions stay in this browser until it does";
        return this._changed(null);
      }
      if (reply.status === 409) {
        this.problem = "decisions.csv was changed elsewhere: yours were put on top of it";
        this.load(await reply.json());
        continue;
      }
      if (!reply.ok) {
        this.problem = `not saved: ${(await reply.text()).slice(0, 200)}`;
        return this._changed(null);
      }
      if (tries === 0) this.problem = "";
      for (const [key, row] of sent) if (this.changes.get(key) === row) this.changes.delete(key);
      this._store();
      this.load(await reply.json());
      return this._changed(null);
    }
  }
}

// A decision may name shot and number only; of several versions, one has the take that is meant.
const isNamed = (take) => take.shot.named.get(take.n) === take;

// A cell that a spreadsheet would take for a formula gets a mark in front, as in results tables.
const marked = (cell) => (/^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell);
const restored = (cell) => (/^'[=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell);
const quoted = (cell) => (/[",;\r\n\t]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
