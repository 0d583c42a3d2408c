/**
 * The browser's part: receives the events of `/events` and shows them. All data goes into the page as text, never
 * as markup; the page's content security policy enforces that.
 *
 * @module
 */

/** How long no event may arrive before the connection counts as lost, in milliseconds. */
const SILENCE_MS = 5000;

/** How long to wait before a reconnect that the browser does not make by itself, in milliseconds. */
const RETRY_MS = 2000;

/** How often the services that the events leave out are fetched, in milliseconds. */
const FETCH_MS = 10_000;

/** How long no balancer has to ask for a service until the page says so, in seconds. */
const UNASKED_SECONDS = 60;

/** How many services are shown at once. */
const PAGE_SIZE = 100;

/** The least number of rows with which there is a filter. */
const MIN_FILTERED = 10;

/** The durations that the lines of a sparkline stand for, in milliseconds. */
const SCALE_MS = [1, 10, 100, 1000];

/** The reasons of failed checks. */
const REASONS = {
  refused: "Connection refused",
  unreachable: "Host unreachable",
  connect_timeout: "Connection timed out",
  tls: "TLS handshake failed",
  tls_timeout: "TLS handshake timed out",
  response_timeout: "No response in time",
  reset: "Connection reset",
  closed: "Connection closed too early",
  protocol: "Wrong protocol",
  status: "HTTP status of a failure",
  login: "Login refused",
  unhealthy: "Reported as unhealthy",
  limit: "hacheck was overloaded",
  configuration: "hacheck's configuration",
  internal: "Internal error of hacheck",
};

/** The most checks that a sparkline shows. */
const CHECKS = 24;

const $ = (selector) => document.querySelector(selector);

/** The data of the last `downtimes` event. */
let entries = { downtimes: [], downtimes_left_out: 0, weights: [], weights_left_out: 0 };
/** These downtimes, by service. */
let downtimesByService = new Map();
/** The data of the last `status` event. */
let daemon;
/** The services that `/recent` lists, and their last responses; empty while the events have all services. */
let others = [];
/** The place of each service in the natural order, where web2 comes before web10. */
let places = new Map();
/** The number of the page of services. */
let pageIndex = 0;
/** How far the daemon's clock is ahead of the browser's, in seconds. */
let clockOffset = 0;

// ---------------------------------------------------------------- showing data

/** Sets a text only if it differs: a screen reader would read the same text again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";
const NAMESPACES = { svg: SVG, rect: SVG, line: SVG, text: SVG };

const { compare } = new Intl.Collator("en", { numeric: true });

/** Makes an element that contains text and other elements. */
function make(tag, attributes = {}, ...content) {
  const namespace = NAMESPACES[tag] ?? document.documentElement.namespaceURI;
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

// ---------------------------------------------------------------- the filter

const filter = $("#filter");

/** Returns whether the filter shows a row of this state with these texts. */
function matches(state, ...texts) {
  const { text, state: wanted } = filter.elements;
  if (wanted.value !== "" && wanted.value !== state) return false;
  const needle = text.value.trim().toLowerCase();
  return needle === "" || texts.some((one) => one?.toLowerCase().includes(needle));
}

/** Shows the filter where there is something to find. It stays while it is in use. */
function showFilter() {
  const rows = daemon.services.length + entries.downtimes.length + daemon.failing.length;
  const isUsed = filter.elements.text.value !== "" || filter.elements.state.value !== "";
  filter.hidden = rows < MIN_FILTERED && !isUsed && !filter.contains(document.activeElement);
}

filter.addEventListener("input", () => {
  pageIndex = 0;
  show();
});
filter.addEventListener("submit", (event) => event.preventDefault());

/** Turns the page of services. */
function turn(by) {
  pageIndex += by;
  showServices(allServices());
  $("#services").scrollIntoView({ block: "start" });
}

$("#previous").addEventListener("click", () => turn(-1));
$("#next").addEventListener("click", () => turn(1));

/** Fetches the services that the events leave out, while somebody sees the page. */
async function fetchOthers() {
  try {
    if (daemon?.more_services && document.visibilityState === "visible") {
      const response = await fetch("/recent");
      if (response.ok) {
        const { seen_services: seen } = await response.json();
        others = seen.map(([service, last]) => ({ service, last, fetchedAt: now() }));
        show();
      }
    }
  } catch {
    // The stream of events reports a lost connection.
  }
  setTimeout(fetchOthers, daemon === undefined ? 100 : FETCH_MS);
}

// ---------------------------------------------------------------- words

/** Formats a count with its noun. */
function many(count, one, several = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

function now() {
  return Date.now() / 1000 + clockOffset;
}

/** Formats a duration in its two largest units. */
function longDuration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole % 86_400 / 3600)} h`;
}

/** Formats a time in the browser's time zone, in the order of ISO 8601. */
function clock(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "in the far future";
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const isToday = date.toDateString() === new Date(now() * 1000).toDateString();
  if (isToday) return `${time}:${two(date.getSeconds())}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** Shows a time, and how far away it is. */
function showTime(cell, seconds, none) {
  if (seconds === null) return setText(cell, none);
  const distance = seconds - now();
  const relative = distance > 0 ? `in ${longDuration(distance)}` : `${longDuration(-distance)} ago`;
  if (cell.childElementCount === 0) {
    cell.replaceChildren(make("time"), " ", make("span", { class: "ago" }));
  }
  setText(cell.firstElementChild, clock(seconds));
  setText(cell.lastElementChild, relative);
}

/** Shows items as the rows of a table. Rows of known items are kept, and with them the keyboard focus. */
function showRows(table, items, keyOf, show) {
  const body = table.tBodies[0];
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    let row = known.get(key);
    known.delete(key);
    if (row === undefined) {
      row = make("tr", { "data-key": key });
      row.append(make("th", { scope: "row" }));
      for (const _column of columns.slice(1)) row.append(make("td"));
    }
    const next = before === null ? body.firstElementChild : before.nextElementSibling;
    if (row !== next) body.insertBefore(row, next);
    show(row, item);
    before = row;
  }
  for (const row of known.values()) row.remove();
}

function showSummary(services) {
  const { downtimes, downtimes_left_out: leftOut } = entries;
  const down = downtimes.filter((one) => one.mode === "down");
  const draining = downtimes.filter((one) => one.mode === "drain");
  const all = downtimes.find(({ name }) => name === "all");
  const failing = daemon.failing_left_out === 0
    ? failingServices()
    : services.filter(({ state }) => state === "failing").map(({ service }) => service);
  const unasked = services.filter(({ state }) => state === "unasked");
  const parts = [];
  const are = (count) => count > 1 ? "are" : "is";
  if (failing.length > 0) {
    const which = failing.length > 4 ? many(failing.length, "service") : listed(failing, 4);
    parts.push(`${which} ${are(failing.length)} failing`);
  }
  if (all !== undefined) {
    parts.push(all.mode === "down" ? "Everything is down" : "Everything is draining");
  } else {
    if (down.length > 0) parts.push(`${names(down, leftOut)} ${are(down.length + leftOut)} down`);
    if (draining.length > 0) {
      parts.push(`${names(draining, 0)} ${are(draining.length)} draining`);
    }
  }
  $("#summary").className = failing.length > 0
    ? "down"
    : parts.length > 0
    ? "planned"
    : unasked.length > 0
    ? "unasked"
    : "";
  setText($("#summary h1"), parts.length === 0 ? "Nothing is down" : parts.join(", "));
  const fails = failing.length === 1
    ? "fails its checks and has no downtime."
    : "fail their checks and have no downtime.";
  const texts = failing.length === 0 ? [] : [`${listed(failing, 6)} ${fails}`];
  if (unasked.length > 0) {
    const which = listed(unasked.map(({ service }) => service), 6);
    texts.push(`No balancer has asked for ${which} for a minute.`);
  }
  setText($("#summary p"), texts.join(" "));
  const count = downtimes.length + leftOut + failing.length;
  document.title = `${count === 0 ? "" : `(${count}) `}${location.host} – hacheck`;
}

/** Returns the names of services that fail without a downtime, and that balancers ask for. */
function failingServices() {
  const checks = daemon.failing.filter((one) =>
    one.kept_out_by === null && one.unasked_since === null
  );
  return [...new Set(checks.map(({ service }) => service))].sort(compare);
}

/** Returns the downtime of a service, if there is one. */
function downtimeOf(service) {
  return downtimesByService.get("all") ?? downtimesByService.get(service);
}

function names(downtimes, leftOut) {
  if (downtimes.length + leftOut > 4) return many(downtimes.length + leftOut, "service");
  return listed(downtimes.map(({ name }) => name), 4);
}

function listed(texts, most) {
  const shown = texts.slice(0, most);
  const rest = texts.length - shown.length;
  if (rest > 0) shown.push(many(rest, "other"));
  if (shown.length < 2) return shown.join("");
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

function showAlarms() {
  const { spool, faults } = daemon;
  const alarms = [];
  if (!spool.healthy) {
    alarms.push(
      `The spool cannot be read, and the last known state stays in force: ${spool.fault}`,
    );
  }
  const invalid = spool.faulty - spool.misnamed;
  if (invalid > 0) {
    const count = many(invalid, "invalid record");
    alarms.push(`${count} in the spool, counted as down: ${listed(spool.faulty_names, 10)}`);
  }
  if (spool.misnamed > 0) {
    const count = many(spool.misnamed, "file");
    const names = listed(spool.misnamed_names, 10);
    alarms.push(`${count} in the spool without effect, since the name is not valid: ${names}`);
  }
  if (!spool.watched) {
    alarms.push("The spool cannot be watched. hacheck reads it 20 times a second.");
  }
  const counts = [
    [faults.checks, "failed checks"],
    [faults.spool_changes, "failed changes of the spool"],
    [faults.unforeseen, "unexpected errors"],
    [faults.lost_log_lines, "lost log lines"],
  ].filter(([count]) => count > 0).map(([count, what]) => `${what}: ${count}`);
  if (counts.length > 0) {
    alarms.push(`Internal errors of hacheck since its start: ${counts.join("; ")}.`);
  }
  const box = $("#alarms");
  if (box.dataset.shown === alarms.join("\n")) return;
  box.dataset.shown = alarms.join("\n");
  box.replaceChildren(...alarms.map((text) => make("p", { class: "alarm" }, text)));
}

function showDowntimes() {
  const { downtimes, downtimes_left_out: leftOut } = entries;
  $("#downtimes").hidden = downtimes.length === 0;
  const canChange = daemon.changing === "by token";
  $("#downtimes").querySelector("th.changing").hidden = !canChange;
  const shown = downtimes.filter((one) => matches("planned", fullName(one), one.reason, one.by));
  showRows($("#downtimes table"), shown, ({ name }) => name, (row, downtime) => {
    const [what, state, why, since, until, change] = row.cells;
    setText(what, fullName(downtime));
    state.className = `state is-${downtime.mode}`;
    setText(state, downtime.mode);
    showEntry([why, since, until], downtime);
    showHint(why, hintOf(downtime));
    change.hidden = !canChange;
    // A POST can only change records of 127.0.0.1.
    if (canChange && downtime.host === "127.0.0.1") {
      if (change.childElementCount > 0) return;
      const button = make("button", { type: "button" }, "End downtime");
      button.setAttribute("aria-label", `End downtime of ${downtime.name}`);
      button.addEventListener("click", () => endDowntime(downtime));
      change.append(button);
    } else change.replaceChildren();
  });
  showMore($("#downtimes .more"), downtimes.length - shown.length, leftOut);
}

/** Shows how many rows the filter hides, and how many there are beyond the limit. */
function showMore(line, hidden, leftOut) {
  const texts = hidden === 0 ? [] : [`${hidden} do not match the filter`];
  if (leftOut > 0) texts.push(`and ${leftOut} more`);
  setText(line, texts.join(", "));
}

/** Names the checks that fail although a downtime explains that. */
function hintOf({ name }) {
  const failing = daemon.failing.filter((one) => one.kept_out_by === name);
  if (failing.length === 0) return "";
  const checks = failing.map((one) => `${nameOf(one)} (${reasonOf(one)}, ${clock(one.at)})`);
  // While a record is in force, checks may not be run.
  return `Failing, too, when last checked: ${listed(checks, 3)}.`;
}

/** Adds a hint below the text of a cell. */
function showHint(cell, hint) {
  const known = cell.querySelector(".hint");
  if (hint === "") return known?.remove();
  if (known === null) cell.append(make("div", { class: "hint" }, hint));
  else setText(known, hint);
}

function showFailing() {
  const { failing, failing_left_out: leftOut } = daemon;
  const unplanned = failing.filter((one) => one.kept_out_by === null);
  const ofState = ({ unasked_since }) => unasked_since === null ? "failing" : "unasked";
  const shown = unplanned.filter((one) =>
    matches(ofState(one), `${nameOf(one)} ${one.protocol}`, one.message, reasonOf(one))
  ).sort((a, b) => Number(a.unasked_since !== null) - Number(b.unasked_since !== null));
  $("#failing").hidden = unplanned.length === 0;
  const keyOf = ({ service, protocol, host, port, path }) =>
    JSON.stringify([service, protocol, host, port, path]);
  showRows($("#failing table"), shown, keyOf, (row, check) => {
    const [what, reason, since, message] = row.cells;
    setText(what, `${nameOf(check)} ${check.protocol}`);
    reason.className = `last is-${ofState(check)}`;
    setText(
      reason,
      check.unasked_since === null
        ? reasonOf(check)
        : `${reasonOf(check)}, not asked since ${clock(check.unasked_since)}`,
    );
    since.dataset.column = "since";
    showTime(since, check.since, "");
    message.className = "why";
    if (message.childElementCount === 0) {
      const isOfCheck = (one) =>
        keyOf({ ...one, path: one.path.slice(0, 200) }) === row.dataset.key;
      message.append(make("span"), makeDetails("Last failures", check.service, isOfCheck));
    }
    setText(message.firstElementChild, check.message);
  });
  showMore($("#failing .more"), unplanned.length - shown.length, leftOut);
}

/** Escapes characters that are invisible or reverse the direction of text, as the events do. */
function visible(text) {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}

function nameOf({ service, host, port }) {
  const name = port === 0 ? service : `${service}:${port}`;
  return host === "127.0.0.1" ? name : `${name} on ${host}`;
}

function reasonOf({ reason, code }) {
  return Object.hasOwn(REASONS, reason ?? "") ? REASONS[reason] : reason ?? `Status ${code}`;
}

/** Makes an element that fetches the last results of a service's checks when it is opened. */
function makeDetails(title, service, isWanted) {
  const content = make("div", { role: "status" });
  const label = make("span", { class: "unseen" }, ` of ${service}`);
  const details = make("details", {}, make("summary", {}, title, label), content);
  details.addEventListener("toggle", async () => {
    if (!details.open) return content.replaceChildren();
    setText(content, "…");
    try {
      const response = await fetch(`/status/checks/${encodeURIComponent(service)}`);
      if (!response.ok) throw new Error(String(response.status));
      const { checks } = await response.json();
      content.replaceChildren(...checks.filter(isWanted).map(makeResults));
      if (content.childElementCount === 0) setText(content, "hacheck has no results of it.");
    } catch {
      setText(content, "The results could not be fetched.");
    }
  });
  return details;
}

/** Makes a list of the last results of a check. */
function makeResults(check) {
  const { state, since, protocol, last_good: good, failures } = check;
  const items = failures.map(({ at, reason, code, message, milliseconds }) =>
    make(
      "li",
      {},
      make("time", {}, clock(at)),
      ` ${reasonOf({ reason, code })} (${duration(milliseconds.total)}): ${visible(message)}`,
    )
  );
  const title = `${protocol} ${nameOf(check)} is ${state} since ${clock(since)}`;
  const last = good === null ? "there was no good result" : `last good result ${clock(good.at)}`;
  const children = [make("p", {}, `${title}; ${last}.`)];
  if (items.length > 0) children.push(make("ol", {}, ...items));
  return make("div", {}, ...children);
}

function showWeights() {
  const { weights, weights_left_out: leftOut } = entries;
  $("#weights").hidden = weights.length === 0;
  showRows($("#weights table"), weights, ({ name }) => name, (row, weight) => {
    const [what, share, ...cells] = row.cells;
    setText(what, fullName(weight));
    share.className = "last";
    setText(share, weight.weight === null ? "invalid" : `${weight.weight} %`);
    showEntry(cells, weight);
  });
  setText($("#weights .more"), leftOut === 0 ? "" : `and ${leftOut} more`);
}

function fullName({ name }) {
  return name === "all" ? "all: everything on this host" : name;
}

/** Shows the reason and the times of a downtime or a weight. */
function showEntry([why, since, until], { reason, creation, expiration }) {
  why.className = "why";
  // A hint may follow.
  if ((why.firstChild?.nodeValue ?? "") !== reason) why.textContent = reason;
  since.dataset.column = "since";
  showTime(since, creation, "unknown");
  until.dataset.column = "until";
  showTime(until, expiration, "no expiry");
}

function isUp(code) {
  return code >= 200 && code < 400;
}

/** Returns all services, those of the events and those of `/recent`, each with its state. */
function allServices() {
  const streamed = new Map(daemon.services.map((one) => [one.service, one]));
  const rest = daemon.more_services ? others.filter(({ service }) => !streamed.has(service)) : [];
  const failing = new Set(failingServices());
  return [...daemon.services, ...rest].map((one) => ({ ...one, state: stateOf(one, failing) }));
}

/** Returns the state of a service by its failing checks and its last response. */
function stateOf({ service, last, fetchedAt = daemon.now }, failing) {
  if (failing.has(service)) return "failing";
  if (last === null) return "unknown";
  if (!isUp(last.code) && downtimeOf(service) !== undefined) return "planned";
  if (fetchedAt - last.ts > UNASKED_SECONDS) return "unasked";
  if (isUp(last.code)) return "up";
  // The response may be due to a record that is gone now.
  return daemon.failing_left_out > 0 ? "failing" : "unknown";
}

/** What is fine comes last. */
const RANKS = { failing: 0, unasked: 1, planned: 2, unknown: 3, up: 4 };

/** Sorts services by their states, then in the natural order of their names. */
function sorted(services) {
  if (services.length !== places.size || services.some(({ service }) => !places.has(service))) {
    const names = services.map(({ service }) => service).sort(compare);
    places = new Map(names.map((name, i) => [name, i]));
  }
  const key = ({ state, service }) => RANKS[state] * services.length + places.get(service);
  return services.map((one) => [key(one), one]).sort(([a], [b]) => a - b).map(([, one]) => one);
}

function showServices(services) {
  const found = sorted(services).filter(({ state, service }) => matches(state, service));
  const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
  pageIndex = Math.min(pageIndex, pages - 1);
  const first = pageIndex * PAGE_SIZE;
  const shown = found.slice(first, first + PAGE_SIZE);
  const table = $("#services table");
  table.tHead.hidden = services.length === 0;
  $("#scale").hidden = !shown.some(({ milliseconds = [] }) => milliseconds.length > 0);
  showRows(table, shown, ({ service }) => service, (row, service) => {
    const [name, response, when, client, checks] = row.cells;
    const { last, state } = service;
    setText(name, service.service);
    const word = last === null || isUp(last.code)
      ? "up"
      : downtimeOf(service.service)?.mode ?? "down";
    const more = word === "up" && state === "failing" ? "; another check fails" : "";
    response.className = `last is-${state}`;
    setText(response, last === null ? "none yet" : `${word}, ${last.code}${more}`);
    when.dataset.column = "when";
    setText(
      when,
      last === null
        ? ""
        : state === "unasked"
        ? `not asked since ${clock(last.ts)}`
        : `${longDuration(now() - last.ts)} ago`,
    );
    client.dataset.column = "client";
    setText(client, last === null ? "" : last.remote_ip);
    if (checks.childElementCount === 0) {
      const details = makeDetails("Details", service.service, () => true);
      checks.append(
        make("div", { class: "last-checks" }, make("div", { class: "checks" }), details),
      );
    }
    showChecks(checks.querySelector(".checks"), service);
  });
  setText(
    $("#services .more"),
    services.length === 0
      ? "No checks yet."
      : found.length === services.length
      ? ""
      : `${many(found.length, "service")} of ${services.length.toLocaleString("en")} ${
        found.length === 1 ? "matches" : "match"
      } the filter.`,
  );
  $("#pages").hidden = pages === 1;
  $("#previous").disabled = pageIndex === 0;
  $("#next").disabled = pageIndex === pages - 1;
  const numbers = [first + 1, first + shown.length, found.length];
  const [from, to, of] = numbers.map((number) => number.toLocaleString("en"));
  setText($("#pages span"), `${from} to ${to} of ${of}`);
}

/** Shows the last checks of a service as bars; the height is the duration. */
function showChecks(cell, { milliseconds = [], since }) {
  if (milliseconds.length === 0) {
    delete cell.dataset.shown;
    return setText(cell, "");
  }
  const key = `${since} ${milliseconds.join()}`;
  if (cell.dataset.shown === key) return;
  cell.dataset.shown = key;
  const failed = milliseconds.filter((one) => one < 0).length;
  const slowest = Math.max(...milliseconds.map(Math.abs));
  const last = duration(Math.abs(milliseconds.at(-1)));
  const label = `${many(milliseconds.length, "check")}, ${failed} failed, last ${last}, slowest ${
    duration(slowest)
  }`;
  const lines = SCALE_MS.map((one) => {
    const y = HEIGHT - heightOf(one);
    return make("line", { x1: 0, x2: CHECKS * 5, y1: y, y2: y });
  });
  const bars = milliseconds.map((one, i) => {
    const height = one < 0 ? HEIGHT : heightOf(one);
    const x = (CHECKS - milliseconds.length + i) * 5;
    return make("rect", {
      ...{ x, y: HEIGHT - height, width: 4, height },
      class: one < 0 ? "down" : "up",
    });
  });
  const viewBox = `0 0 ${CHECKS * 5} ${HEIGHT}`;
  const image = make("svg", { viewBox, role: "img", "aria-label": label }, ...lines, ...bars);
  // The image names the durations itself.
  const scale = make("span", { class: "scale", "aria-hidden": "true" });
  scale.append(make("span", {}, "1 s"), make("span", {}, "1 ms"));
  cell.replaceChildren(image, scale, make("span", { class: "duration" }, last));
}

/** The height of a sparkline. */
const HEIGHT = 30;

/** The scale is logarithmic, so that 1 ms and 1 s are both visible. */
function heightOf(milliseconds) {
  return Math.min(HEIGHT - 1, Math.max(1, 3 + 8 * Math.log10(milliseconds)));
}

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

/** Shows names and values as a description list. The names are always the same. */
function showList(list, items) {
  if (list.childElementCount === 0) {
    list.append(...items.map(([name]) => make("div", {}, make("dt", {}, name), make("dd"))));
  }
  items.forEach(([, value], i) => setText(list.children[i].lastChild, value));
}

function showFigures() {
  const { cache, checks, spool, refused, listeners, permissions, uptime } = daemon;
  const hits = cache.gets === 0 ? "" : `, ${Math.round(100 * cache.hits / cache.gets)} % hits`;
  showList($("#status"), [
    ["Checks of services", `${checks.under_way} in flight, ${checks.queued} queued`],
    ["Cache", `${many(cache.gets, "lookup")}${hits}`],
    [
      "Spool",
      `${many(spool.records, "record")}, ${spool.watched ? "watched" : "polled"}`,
    ],
    [
      "Rejected",
      `${many(refused.targets, "target")}, ${many(refused.clients, "client")}, ${
        many(refused.spool_changes, "change")
      }, ${many(refused.large_pages, "large page")}`,
    ],
    [
      "Listeners",
      `${many(listeners.renewals, "rotation")}, ${many(listeners.falls, "crash", "crashes")}, ${
        many(listeners.cut_requests, "request")
      } cut`,
    ],
    ["Uptime", `${longDuration(uptime)}, ${many(daemon.event_loops, "worker")}`],
  ]);
  const paths = (granted) =>
    granted === "everything" ? "everything" : granted.length === 0 ? "nothing" : granted.join(", ");
  showList($("#permissions"), [
    ["Read", paths(permissions.read)],
    ["Write", paths(permissions.write)],
    [
      "Network",
      permissions.net === "everything" ? "every address" : "granted addresses",
    ],
    ["Other", paths(permissions.others)],
  ]);
  const zone = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" })
    .formatToParts().find(({ type }) => type === "timeZoneName").value;
  setText($("#about"), `hacheck ${daemon.version}. Times are in the browser's time zone, ${zone}.`);
}

function show() {
  if (daemon === undefined) return;
  const services = allServices();
  showSummary(services);
  showAlarms();
  showFilter();
  showFailing();
  showDowntimes();
  showWeights();
  showServices(services);
  showFigures();
  showForm();
}

// ---------------------------------------------------------------- changing the spool

const form = $("#change-form");

/** Shows the outcome of a change. */
function showOutcome(text, isBad) {
  $("#outcome").className = isBad ? "bad" : "";
  setText($("#outcome"), text);
}

function showForm() {
  const { changing } = daemon;
  $("#change").hidden = changing !== "by token";
  $("#unchanging").hidden = changing === "by token";
  setText(
    $("#unchanging"),
    changing === "off"
      ? "Changes are disabled: allow_remote_spool_changes is off. Use hactl on the host."
      : "Changes are disabled: no remote_spool_token is configured. Use hactl on the host.",
  );
  const options = ["all", ...daemon.services.map(({ service }) => service)];
  const list = $("#names");
  if (list.dataset.names === options.join()) return;
  list.dataset.names = options.join();
  list.replaceChildren(...options.map((value) => make("option", { value })));
}

/** Adapts the form to the chosen action. */
function adaptForm() {
  const { status, reason, minutes } = form.elements;
  const isUp = status.value === "up";
  for (const label of form.querySelectorAll(".down-only")) label.hidden = isUp;
  for (const input of [reason, minutes]) input.disabled = isUp;
  setText($("#change-form button"), status.selectedOptions[0].textContent);
}

/** Changes the spool by POST. */
async function change(service, port, fields) {
  const name = port === 0 ? service : `${service}:${port}`;
  const done = { down: "is down", drain: "is draining", up: "has no downtime" }[fields.status];
  showOutcome("…", false);
  try {
    const response = await fetch(`/spool/${service}/${port}/status`, {
      method: "POST",
      headers: { authorization: `Bearer ${form.elements.token.value}` },
      body: new URLSearchParams(fields),
      credentials: "omit",
    });
    const words = { 401: "wrong token.", 403: "this client may not change the spool." };
    const why = words[response.status] ?? await response.text();
    showOutcome(response.ok ? `${name} ${done}.` : `Nothing was changed: ${why}`, !response.ok);
    return response.ok;
  } catch {
    showOutcome("hacheck did not respond. It is not known whether the change was made.", true);
    return false;
  }
}

async function endDowntime({ service, port, name }) {
  const { token } = form.elements;
  if (token.value === "") {
    showOutcome(`Enter the token to end the downtime of ${name}.`, true);
    token.focus();
    return;
  }
  if (!confirm(`End the downtime of ${name}? It will receive traffic again.`)) return;
  if (await change(service, port, { status: "up" })) {
    $("#outcome").scrollIntoView({ block: "nearest" });
  }
}

form.addEventListener("change", adaptForm);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { status, service, port, reason, minutes } = form.elements;
  const fields = { status: status.value };
  if (status.value !== "up") {
    fields.reason = reason.value;
    if (minutes.value !== "") fields.expiration = (now() + 60 * Number(minutes.value)).toFixed(3);
  }
  const button = $("#change-form button");
  button.disabled = true;
  const isDone = await change(service.value, Number(port.value), fields);
  button.disabled = false;
  button.focus();
  if (isDone) { for (const input of [service, port, reason, minutes]) input.value = ""; }
});

// ---------------------------------------------------------------- receiving events

let events;
let silenceTimer;
let lostAt;

function onEvent() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(() => {
    // A connection can be lost without any error.
    events.close();
    onLost();
    listen();
  }, SILENCE_MS);
  if (lostAt === undefined && document.body.className === "live") return;
  lostAt = undefined;
  document.body.className = "live";
  setText($("#link"), "Live");
}

function onLost() {
  lostAt ??= Date.now() / 1000;
  document.body.className = "lost";
  setText(
    $("#link"),
    `Connection lost at ${
      clock(lostAt + clockOffset)
    }: the page shows the last known state. Reconnecting …`,
  );
}

function listen() {
  events = new EventSource("/events");
  events.addEventListener("downtimes", ({ data }) => {
    entries = JSON.parse(data);
    const { downtimes } = entries;
    downtimesByService = new Map(downtimes.map((one) => [one.service, one]).reverse());
    onEvent();
    show();
  });
  events.addEventListener("status", ({ data }) => {
    daemon = JSON.parse(data);
    clockOffset = daemon.now - Date.now() / 1000;
    onEvent();
    show();
  });
  events.addEventListener("error", () => {
    onLost();
    // A browser does not reconnect after a response that is not an event stream.
    if (events.readyState !== EventSource.CLOSED) return;
    clearTimeout(silenceTimer);
    setTimeout(listen, RETRY_MS);
  });
}

setText($("#host"), location.host);
adaptForm();
listen();
fetchOthers();
