/**
 * What runs in the browser: takes what `/events` tells, and shows it. All that is told goes into the page as
 * text, and nothing as markup: the page's policy would not have it otherwise.
 *
 * @module
 */

/** For how long nothing may come, in milliseconds, before the connection counts as lost. */
const SILENCE_MS = 5000;

/** How soon it is tried again where the browser does not by itself, in milliseconds. */
const RETRY_MS = 2000;

/** The time of a check that fills the height of a sparkline, in milliseconds: each tenth of it is a third less. */
const HIGH_MS = 1000;

/** How many checks a sparkline has room for. */
const CHECKS = 24;

const $ = (selector) => document.querySelector(selector);

/** What was told last. */
let marked = { downtimes: [], downtimes_left_out: 0, weights: [], weights_left_out: 0 };
let figures;
/** How far the daemon's clock is ahead of this one, in seconds. */
let ahead = 0;

// ---------------------------------------------------------------- what is shown

/** Sets a text only where it is another: who listens to the page is not to hear the same again. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes an element of text and of other elements. */
function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

/** Says how many there are of something. */
function many(count, one, several = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

function now() {
  return Date.now() / 1000 + ahead;
}

/** Says how long something takes, in the two biggest units. */
function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole % 86_400 / 3600)} h`;
}

/** Says a point in time by the browser's clock on the wall, in ISO's order. */
function clock(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "in the far future";
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const isToday = date.toDateString() === new Date(now() * 1000).toDateString();
  if (isToday) return `${time}:${two(date.getSeconds())}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** Shows a point in time, and how far away it is. */
function showTime(cell, seconds, none) {
  if (seconds === null) return say(cell, none);
  const distance = seconds - now();
  const far = distance > 0 ? `in ${lasting(distance)}` : `${lasting(-distance)} ago`;
  if (cell.childElementCount === 0) {
    cell.replaceChildren(make("time"), " ", make("span", { class: "ago" }));
  }
  say(cell.firstElementChild, clock(seconds));
  say(cell.lastElementChild, far);
}

/**
 * Shows things as the rows of a table. The row of what is shown already is kept, and with it where the
 * keyboard is.
 */
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
  const { downtimes, downtimes_left_out: leftOut } = marked;
  const down = downtimes.filter((one) => one.mode === "down");
  const draining = downtimes.filter((one) => one.mode === "drain");
  const all = downtimes.find(({ name }) => name === "all");
  const parts = [];
  if (down.length > 0) parts.push(`${names(down, leftOut)} ${down.length > 1 ? "are" : "is"} down`);
  if (draining.length > 0) {
    parts.push(`${names(draining, 0)} ${draining.length > 1 ? "are" : "is"} draining`);
  }
  const sick = figures.services.filter(({ service, last }) =>
    last !== null && !isUp(last.code) && markedOf(service) === undefined
  );
  let title = parts.join(", ");
  if (all !== undefined) {
    title = all.mode === "down" ? "Everything is down" : "Everything is draining";
  } else if (title === "") {
    title = sick.length === 0 ? "Nothing is down" : "Nothing is taken out";
  }
  const summary = $("#summary");
  summary.className = down.length > 0 ? "down" : draining.length > 0 ? "drain" : "";
  if (summary.className === "" && sick.length > 0) summary.className = "down";
  say($("#summary h1"), title);
  const bad = sick.map(({ service }) => service);
  say(
    $("#summary p"),
    sick.length === 0
      ? ""
      : `${listed(bad, 6)} ${
        bad.length === 1 ? "does" : "do"
      } not answer well, and nobody has taken ${bad.length === 1 ? "it" : "them"} out.`,
  );
  const count = downtimes.length + leftOut + sick.length;
  document.title = `${count === 0 ? "" : `(${count}) `}${location.host} – hacheck`;
}

/** What an operator has said of a service, if it is marked. */
function markedOf(service) {
  return marked.downtimes.find((one) => one.name === "all" || one.service === service);
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
  const { spool, faults } = figures;
  const alarms = [];
  if (!spool.healthy) {
    alarms.push(
      `The spool cannot be read, and what was known of it stays in force: ${spool.fault}`,
    );
  }
  const unclear = spool.faulty - spool.misnamed;
  if (unclear > 0) {
    alarms.push(
      `${
        many(unclear, "record")
      } of the spool cannot be read or make no sense, and count as down: ` +
        listed(spool.faulty_names, 10),
    );
  }
  if (spool.misnamed > 0) {
    alarms.push(
      `${
        many(spool.misnamed, "file")
      } in the spool have no effect, since their names are no record's: ` +
        listed(spool.misnamed_names, 10),
    );
  }
  if (!spool.watched) alarms.push("The spool cannot be watched, and is read 20 times a second.");
  const counts = [
    [faults.checks, "checks failed by themselves"],
    [faults.spool_changes, "changes of the spool could not be made"],
    [faults.unforeseen, "faults that nobody had foreseen"],
    [faults.lost_log_lines, "lines that the log could not take"],
  ].filter(([count]) => count > 0).map(([count, what]) => `${what}: ${count}`);
  if (counts.length > 0) {
    alarms.push(`Faults of hacheck itself since its start: ${counts.join("; ")}.`);
  }
  const box = $("#alarms");
  if (box.dataset.said === alarms.join("\n")) return;
  box.dataset.said = alarms.join("\n");
  box.replaceChildren(...alarms.map((text) => make("p", { class: "alarm" }, text)));
}

function showDowntimes() {
  const { downtimes, downtimes_left_out: leftOut } = marked;
  $("#downtimes").hidden = downtimes.length === 0;
  const canChange = figures.changing === "by token";
  $("#downtimes").querySelector("th.changing").hidden = !canChange;
  showRows($("#downtimes table"), downtimes, ({ name }) => name, (row, downtime) => {
    const [what, state, why, since, until, change] = row.cells;
    say(what, whole(downtime));
    state.className = `state is-${downtime.mode}`;
    say(state, downtime.mode);
    showMarking([why, since, until], downtime, "marked up");
    change.hidden = !canChange;
    // A POST speaks of this machine alone.
    if (canChange && downtime.host === "127.0.0.1") {
      if (change.childElementCount > 0) return;
      const button = make("button", { type: "button" }, "Mark up");
      button.setAttribute("aria-label", `Mark up ${downtime.name}`);
      button.addEventListener("click", () => markUp(downtime));
      change.append(button);
    } else change.replaceChildren();
  });
  say($("#downtimes .more"), leftOut === 0 ? "" : `and ${leftOut} more`);
}

function showWeights() {
  const { weights, weights_left_out: leftOut } = marked;
  $("#weights").hidden = weights.length === 0;
  showRows($("#weights table"), weights, ({ name }) => name, (row, weight) => {
    const [what, share, ...cells] = row.cells;
    say(what, whole(weight));
    share.className = "last";
    say(share, weight.weight === null ? "cannot be read" : `${weight.weight} %`);
    showMarking(cells, weight, "changed");
  });
  say($("#weights .more"), leftOut === 0 ? "" : `and ${leftOut} more`);
}

function whole({ name }) {
  return name === "all" ? "all: everything on this host" : name;
}

/** Shows why something is marked, and for how long. */
function showMarking([why, since, until], { reason, creation, expiration }, end) {
  why.className = "why";
  say(why, reason);
  since.dataset.column = "since";
  showTime(since, creation, "unknown");
  until.dataset.column = "until";
  showTime(until, expiration, end);
}

function isUp(code) {
  return code >= 200 && code < 400;
}

function showServices() {
  const { services } = figures;
  const table = $("#services table");
  table.tHead.hidden = services.length === 0;
  showRows(table, services, ({ service }) => service, (row, service) => {
    const [name, answer, when, by, checks] = row.cells;
    const { last } = service;
    say(name, service.service);
    const out = markedOf(service.service);
    const state = last === null ? "unknown" : isUp(last.code) ? "up" : out?.mode ?? "down";
    answer.className = `last is-${state}`;
    say(answer, last === null ? "none yet" : `${state}, ${last.code}`);
    when.dataset.column = "answered";
    say(when, last === null ? "" : `${lasting(now() - last.ts)} ago`);
    by.dataset.column = "asked by";
    say(by, last === null ? "" : last.remote_ip);
    showChecks(checks, service);
  });
  say(
    $("#services .more"),
    services.length === 0
      ? "Nobody has asked for any."
      : services.length < 200
      ? ""
      : "Only 200 are shown, those first that do not answer well.",
  );
}

/** Shows how the last checks of a service went: a bar for each, as high as it took long. */
function showChecks(cell, { milliseconds, since }) {
  if (milliseconds.length === 0) return say(cell, "");
  const key = `${since} ${milliseconds.join()}`;
  if (cell.dataset.shown !== key) {
    cell.dataset.shown = key;
    const down = milliseconds.filter((one) => one < 0).length;
    const slowest = Math.max(...milliseconds.map(Math.abs));
    const told = `${many(milliseconds.length, "check")}, ${down === 0 ? "none" : down} down, ${
      duration(Math.abs(milliseconds.at(-1)))
    }, at most ${duration(slowest)}`;
    const image = svg("svg", { viewBox: `0 0 ${CHECKS * 5} 20`, role: "img", "aria-label": told });
    milliseconds.forEach((one, i) => {
      const height = one < 0 ? 20 : heightOf(one);
      const x = (CHECKS - milliseconds.length + i) * 5;
      const bar = { x, y: 20 - height, width: 4, height, class: one < 0 ? "down" : "up" };
      image.append(svg("rect", bar));
    });
    const text = make("span", {}, duration(Math.abs(milliseconds.at(-1))));
    cell.replaceChildren(make("div", { class: "checks" }, image, text));
  }
}

/** On a scale of tenfold steps: what takes 1 ms and what takes a second are both to be seen. */
function heightOf(milliseconds) {
  return Math.min(18, Math.max(3, 18 + 5 * Math.log10(milliseconds / HIGH_MS)));
}

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Shows names and what they stand for, and keeps those that are there. */
function showList(list, entries) {
  const values = new Map([...list.children].map((div) => [div.firstChild.textContent, div]));
  list.append(
    ...entries.filter(([name]) => !values.has(name)).map(([name]) => {
      const div = make("div", {}, make("dt", {}, name), make("dd"));
      values.set(name, div);
      return div;
    }),
  );
  for (const [name, value] of entries) say(values.get(name).lastChild, value);
}

function showFigures() {
  const { cache, checks, spool, refused, listeners, permissions, uptime } = figures;
  const hits = cache.gets === 0 ? "" : `, ${Math.round(100 * cache.hits / cache.gets)} % hits`;
  showList($("#figures"), [
    ["Checks of services", `${checks.under_way} under way, ${checks.queued} waiting`],
    ["Cache", `${many(cache.gets, "look-up")}${hits}`],
    [
      "Spool",
      `${many(spool.records, "record")}, ${spool.watched ? "watched" : "read again and again"}`,
    ],
    [
      "Refused",
      `${many(refused.targets, "target")}, ${many(refused.clients, "client")}, ${
        many(refused.spool_changes, "change")
      }`,
    ],
    [
      "Servers",
      `${many(listeners.renewals, "renewal")}, ${many(listeners.falls, "fall")}, ${
        many(listeners.cut_requests, "request")
      } cut`,
    ],
    ["Running for", `${lasting(uptime)}, on ${many(figures.event_loops, "event loop")}`],
  ]);
  const paths = (granted) =>
    granted === "everything" ? "everything" : granted.length === 0 ? "nothing" : granted.join(", ");
  showList($("#permissions"), [
    ["Read", paths(permissions.read)],
    ["Write", paths(permissions.write)],
    [
      "Network",
      permissions.net === "everything" ? "every address" : "the addresses that are granted",
    ],
    ["Else", paths(permissions.others)],
  ]);
  const zone = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" })
    .formatToParts().find(({ type }) => type === "timeZoneName").value;
  say($("#about"), `hacheck ${figures.version}. Times are ${zone}, as this browser has it.`);
}

function show() {
  if (figures === undefined) return;
  showSummary();
  showAlarms();
  showDowntimes();
  showWeights();
  showServices();
  showFigures();
  showForm();
}

// ---------------------------------------------------------------- what is changed

const form = $("form");

/** Tells the outcome of a change. */
function tell(text, isBad) {
  $("#outcome").className = isBad ? "bad" : "";
  say($("#outcome"), text);
}

function showForm() {
  const { changing, services } = figures;
  $("#change").hidden = changing !== "by token";
  $("#unchanging").hidden = changing === "by token";
  say(
    $("#unchanging"),
    changing === "off"
      ? "Nothing can be changed from here: allow_remote_spool_changes is off. hactl on the host can."
      : "Nothing can be changed from here: that takes a remote_spool_token. hactl on the host can.",
  );
  const options = ["all", ...services.map(({ service }) => service)];
  const list = $("#names");
  if (list.dataset.names === options.join()) return;
  list.dataset.names = options.join();
  list.replaceChildren(...options.map((value) => make("option", { value })));
}

/** Adapts the form to what is to be done. */
function adapt() {
  const { status, reason, minutes } = form.elements;
  const isUp = status.value === "up";
  for (const label of form.querySelectorAll(".down-only")) label.hidden = isUp;
  for (const input of [reason, minutes]) input.disabled = isUp;
  const verb = status.selectedOptions[0].textContent;
  say($("form button"), verb[0].toUpperCase() + verb.slice(1));
}

/** Asks the daemon for a change of the spool, as anybody does by POST. */
async function change(service, port, fields) {
  const name = port === 0 ? service : `${service}:${port}`;
  const done = fields.status === "drain"
    ? `${name} drains.`
    : `${name} is marked ${fields.status}.`;
  tell("…", false);
  try {
    const response = await fetch(`/spool/${service}/${port}/status`, {
      method: "POST",
      headers: { authorization: `Bearer ${form.elements.token.value}` },
      body: new URLSearchParams(fields),
      credentials: "omit",
    });
    const words = { 401: "That is not the token.", 403: "From here that is not allowed." };
    const why = words[response.status] ?? await response.text();
    tell(response.ok ? done : `Nothing was changed: ${why}`, !response.ok);
    return response.ok;
  } catch {
    tell("hacheck does not answer. Whether it has heard of the change is not known.", true);
    return false;
  }
}

async function markUp({ service, port, name }) {
  const { token } = form.elements;
  if (token.value === "") {
    tell(`To mark ${name} up, enter the token first.`, true);
    token.focus();
    return;
  }
  if (!confirm(`Mark ${name} up? It will get traffic again.`)) return;
  if (await change(service, port, { status: "up" })) {
    $("#outcome").scrollIntoView({ block: "nearest" });
  }
}

form.addEventListener("change", adapt);
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

// ---------------------------------------------------------------- the stream

let events;
let silence;
let lostAt;

function heard() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    // A connection may be gone without anybody having said so.
    events.close();
    lose();
    listen();
  }, SILENCE_MS);
  if (lostAt === undefined && document.body.className === "live") return;
  lostAt = undefined;
  document.body.className = "live";
  say($("#link"), "Live");
}

function lose() {
  lostAt ??= Date.now() / 1000;
  document.body.className = "lost";
  say(
    $("#link"),
    `Connection lost at ${clock(lostAt + ahead)}: this is what was true then. Trying again …`,
  );
}

function listen() {
  events = new EventSource("/events");
  events.addEventListener("marked", ({ data }) => {
    marked = JSON.parse(data);
    heard();
    show();
  });
  events.addEventListener("figures", ({ data }) => {
    figures = JSON.parse(data);
    ahead = figures.now - Date.now() / 1000;
    heard();
    show();
  });
  events.addEventListener("error", () => {
    lose();
    // What is answered otherwise than by a stream, a browser does not ask for again.
    if (events.readyState !== EventSource.CLOSED) return;
    clearTimeout(silence);
    setTimeout(listen, RETRY_MS);
  });
}

say($("#host"), location.host);
adapt();
listen();
