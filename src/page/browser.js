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

/** The duration of a check that fills the height of a sparkline, in milliseconds. */
const FULL_HEIGHT_MS = 1000;

/** The most checks that a sparkline shows. */
const CHECKS = 24;

const $ = (selector) => document.querySelector(selector);

/** The data of the last `downtimes` event. */
let entries = { downtimes: [], downtimes_left_out: 0, weights: [], weights_left_out: 0 };
/** The data of the last `status` event. */
let daemon;
/** How far the daemon's clock is ahead of the browser's, in seconds. */
let clockOffset = 0;

// ---------------------------------------------------------------- showing data

/** Sets a text only if it differs: a screen reader would read the same text again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const NAMESPACES = { svg: "http://www.w3.org/2000/svg", rect: "http://www.w3.org/2000/svg" };

/** Makes an element that contains text and other elements. */
function make(tag, attributes = {}, ...content) {
  const namespace = NAMESPACES[tag] ?? document.documentElement.namespaceURI;
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

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

function showSummary() {
  const { downtimes, downtimes_left_out: leftOut } = entries;
  const down = downtimes.filter((one) => one.mode === "down");
  const draining = downtimes.filter((one) => one.mode === "drain");
  const all = downtimes.find(({ name }) => name === "all");
  const parts = [];
  if (down.length > 0) parts.push(`${names(down, leftOut)} ${down.length > 1 ? "are" : "is"} down`);
  if (draining.length > 0) {
    parts.push(`${names(draining, 0)} ${draining.length > 1 ? "are" : "is"} draining`);
  }
  const failing = daemon.services.filter(({ service, last }) =>
    last !== null && !isUp(last.code) && downtimeOf(service) === undefined
  );
  let title = parts.join(", ");
  if (all !== undefined) {
    title = all.mode === "down" ? "Everything is down" : "Everything is draining";
  } else if (title === "") {
    title = failing.length === 0 ? "Nothing is down" : "No downtimes";
  }
  const isBad = down.length > 0 || (draining.length === 0 && failing.length > 0);
  $("#summary").className = isBad ? "down" : draining.length > 0 ? "drain" : "";
  setText($("#summary h1"), title);
  const bad = listed(failing.map(({ service }) => service), 6);
  const fails = failing.length === 1
    ? "fails its checks and has no downtime."
    : "fail their checks and have no downtime.";
  setText($("#summary p"), failing.length === 0 ? "" : `${bad} ${fails}`);
  const count = downtimes.length + leftOut + failing.length;
  document.title = `${count === 0 ? "" : `(${count}) `}${location.host} – hacheck`;
}

/** Returns the downtime of a service, if there is one. */
function downtimeOf(service) {
  return entries.downtimes.find((one) => one.name === "all" || one.service === service);
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
  showRows($("#downtimes table"), downtimes, ({ name }) => name, (row, downtime) => {
    const [what, state, why, since, until, change] = row.cells;
    setText(what, fullName(downtime));
    state.className = `state is-${downtime.mode}`;
    setText(state, downtime.mode);
    showEntry([why, since, until], downtime);
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
  setText($("#downtimes .more"), leftOut === 0 ? "" : `and ${leftOut} more`);
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
  setText(why, reason);
  since.dataset.column = "since";
  showTime(since, creation, "unknown");
  until.dataset.column = "until";
  showTime(until, expiration, "no expiry");
}

function isUp(code) {
  return code >= 200 && code < 400;
}

function showServices() {
  const { services } = daemon;
  const table = $("#services table");
  table.tHead.hidden = services.length === 0;
  showRows(table, services, ({ service }) => service, (row, service) => {
    const [name, response, when, client, checks] = row.cells;
    const { last } = service;
    setText(name, service.service);
    const downtime = downtimeOf(service.service);
    const state = last === null ? "unknown" : isUp(last.code) ? "up" : downtime?.mode ?? "down";
    response.className = `last is-${state}`;
    setText(response, last === null ? "none yet" : `${state}, ${last.code}`);
    when.dataset.column = "when";
    setText(when, last === null ? "" : `${longDuration(now() - last.ts)} ago`);
    client.dataset.column = "client";
    setText(client, last === null ? "" : last.remote_ip);
    showChecks(checks, service);
  });
  setText(
    $("#services .more"),
    services.length === 0
      ? "No checks yet."
      : services.length < 200
      ? ""
      : "Only 200 services are shown, failures first.",
  );
}

/** Shows the last checks of a service as bars; the height is the duration. */
function showChecks(cell, { milliseconds, since }) {
  if (milliseconds.length === 0) return setText(cell, "");
  const key = `${since} ${milliseconds.join()}`;
  if (cell.dataset.shown === key) return;
  cell.dataset.shown = key;
  const failed = milliseconds.filter((one) => one < 0).length;
  const slowest = Math.max(...milliseconds.map(Math.abs));
  const last = duration(Math.abs(milliseconds.at(-1)));
  const label = `${many(milliseconds.length, "check")}, ${failed} failed, last ${last}, slowest ${
    duration(slowest)
  }`;
  const bars = milliseconds.map((one, i) => {
    const height = one < 0 ? 20 : heightOf(one);
    const x = (CHECKS - milliseconds.length + i) * 5;
    return make("rect", {
      ...{ x, y: 20 - height, width: 4, height },
      class: one < 0 ? "down" : "up",
    });
  });
  const viewBox = `0 0 ${CHECKS * 5} 20`;
  const image = make("svg", { viewBox, role: "img", "aria-label": label }, ...bars);
  cell.replaceChildren(make("div", { class: "checks" }, image, make("span", {}, last)));
}

/** The scale is logarithmic, so that 1 ms and 1 s are both visible. */
function heightOf(milliseconds) {
  return Math.min(18, Math.max(3, 18 + 5 * Math.log10(milliseconds / FULL_HEIGHT_MS)));
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
  showSummary();
  showAlarms();
  showDowntimes();
  showWeights();
  showServices();
  showFigures();
  showForm();
}

// ---------------------------------------------------------------- changing the spool

const form = $("form");

/** Shows the outcome of a change. */
function showOutcome(text, isBad) {
  $("#outcome").className = isBad ? "bad" : "";
  setText($("#outcome"), text);
}

function showForm() {
  const { changing, services } = daemon;
  $("#change").hidden = changing !== "by token";
  $("#unchanging").hidden = changing === "by token";
  setText(
    $("#unchanging"),
    changing === "off"
      ? "Changes are disabled: allow_remote_spool_changes is off. Use hactl on the host."
      : "Changes are disabled: no remote_spool_token is configured. Use hactl on the host.",
  );
  const options = ["all", ...services.map(({ service }) => service)];
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
  setText($("form button"), status.selectedOptions[0].textContent);
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
  const button = $("form button");
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
