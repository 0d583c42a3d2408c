/**
 * The parts of the generated requests. A character stands for a byte.
 *
 * @module
 */

import { utf8 } from "../load/wire.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/** The characters of service names. */
export const NAME = `${LETTERS}.`;

/** The characters of header names. */
export const TOKEN = `${LETTERS}!$%&'*+.^\`|~`;

/** The characters of header values. */
export const VALUE: string = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
  .filter((byte) => byte === "\t" || (byte >= " " && byte !== "\x7f")).join("");

/** Methods that no check allows. */
export const OTHER_METHODS = "PUT DELETE PATCH TRACE PURGE get M-SEARCH".split(" ");

/** Unknown protocols. */
export const UNKNOWN_PROTOCOLS: readonly string[] = [
  ..."gopher SPOOL Http http2 spool%20 s __proto__ constructor".split(" "),
  utf8("spööl"),
  "",
];

/** Invalid service names. */
export const WRONG_SERVICES: readonly string[] = [
  ...". .. we%20b %2e%2e we+b a:b a,b ~web web;x [web]".split(" "),
  ...["é", "服务", "🚀"].map(utf8),
  "W".repeat(201),
  "",
];

/** Invalid ports. */
export const WRONG_PORTS: readonly string[] = [
  ..."x -1 +1 1e3 0x50 80; 8%200 80.".split(" "),
  utf8("８０"),
  "",
];

/** Paths after the port of a check. */
export const PATHS: readonly string[] = [
  ...'/ /status ? ?x=1&y /a//b/../c /%00%ff%zz /;a=b?c /[]{}|^`"<>'.split(" "),
  ...[200, 204, 301, 404, 418, 503, 599].map((code) => `/code/${code}`),
  utf8("/é?ü"),
  `/${"p".repeat(2000)}`,
  "",
];

/** Hosts that the daemon ignores. */
export const HOSTS: readonly string[] = [
  ..."x localhost:3333 [::1]:3333 a@b \xe9 a:b:c %00 *".split(" "),
  "ev il",
  "h".repeat(300),
  "",
];

/** Hosts that contain a path, which the daemon must not use instead of the path of the request. */
export const FORGED_HOSTS: readonly string[] = "x/spool/web/0 x/spool/web/0? /status? x? /"
  .split(" ");

/** Invalid addresses. */
export const WRONG_ADDRESSES: readonly string[] = [
  ..."localhost 0x7f.1 127.1 2130706433 0177.0.0.1 127.0.0.256 127.0.0.1:80 127.0.0.1/8".split(" "),
  ..."0.0.0.0 :: [::1] ::ffff:127.0.0.1 fe80::1%lo \xe9".split(" "),
  "127.0.0.1, 127.0.0.1",
];

/** Invalid ports in HAProxy's header. */
export const WRONG_STATED_PORTS: readonly string[] = [
  ..."x -1 65536 123456 0x50 \xe9".split(" "),
  "8 0",
];

/** Unknown paths. */
export const UNKNOWN_PATHS: readonly string[] = [
  ..."// /events/ /page /favicon.ico /spool /spool/ /spool/web /spool/web/ //spool/web/0".split(
    " ",
  ),
  ..."/Status /status/ /status/counts /recent/x /%73tatus /debug /metrics/".split(" "),
  ..."/../spool/web/0 /./spool/web/0 /spool\\web\\0 /.well-known/x".split(" "),
  `/${"n".repeat(3000)}`,
];
