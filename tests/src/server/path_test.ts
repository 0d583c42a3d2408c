import { type CheckPath, parseCheckPath, pathOf } from "../../../src/server/path.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("pathOf() returns the path and query string, whatever the host is", () => {
  for (
    const [url, path] of [
      ["http://127.0.0.1:3333/", "/"],
      ["http://127.0.0.1:3333/spool/web/0?a=/b//c", "/spool/web/0?a=/b//c"],
      ["http://[::1]:3333/a", "/a"],
      ["http://ev il/a b", "/a b"],
      ["http://x/a/../b/./%2e%2e/%zz#c", "/a/../b/./%2e%2e/%zz#c"],
      ["http://x//a//b", "//a//b"],
      ["http://x/*", "/*"],
      ["http://x:80", ""],
      ["http://x?a=/status", ""],
    ] as const
  ) {
    assertEquals(pathOf(url), path, url);
  }
});

const CHECKS: readonly [path: string, check: CheckPath][] = [
  ["/spool/web/0", { protocol: "spool", service: "web", port: 0, path: "/" }],
  ["/spool/web/0/", { protocol: "spool", service: "web", port: 0, path: "/" }],
  ["/http/web/8080/status", { protocol: "http", service: "web", port: 8080, path: "/status" }],
  ["/http/web/8080?a=1", { protocol: "http", service: "web", port: 8080, path: "/?a=1" }],
  ["/http/web/8080/?", { protocol: "http", service: "web", port: 8080, path: "/?" }],
  ["/http/web/80//a/../%2F?b#c", {
    protocol: "http",
    service: "web",
    port: 80,
    path: "/a/../%2F?b#c",
  }],
  // One slash ends the port; the rest stays unchanged.
  ["/http/web/80//status", { protocol: "http", service: "web", port: 80, path: "/status" }],
  ["/http/web/80///x", { protocol: "http", service: "web", port: 80, path: "//x" }],
  ["/http/web/80//", { protocol: "http", service: "web", port: 80, path: "/" }],
  ["/http/web/80//?a=//b", { protocol: "http", service: "web", port: 80, path: "/?a=//b" }],
  ["/redis-info/main.db_1-a/0080/x\ny", {
    protocol: "redis-info",
    service: "main.db_1-a",
    port: 80,
    path: "/x\ny",
  }],
  // The router rejects invalid ports and unknown protocols.
  ["/gopher/.x/99999", { protocol: "gopher", service: ".x", port: 99_999, path: "/" }],
  ["/spool/.../0", { protocol: "spool", service: "...", port: 0, path: "/" }],
  [`/spool/${"w".repeat(200)}/0`, {
    protocol: "spool",
    service: "w".repeat(200),
    port: 0,
    path: "/",
  }],
];

Deno.test("parseCheckPath() reads the path of a check", () => {
  for (const [path, check] of CHECKS) assertEquals(parseCheckPath(path), check, path);
});

Deno.test("parseCheckPath() returns undefined for other paths", () => {
  for (
    const path of [
      ...["", "/", "//", "/*", "*", "/spool", "/spool/", "/spool/web", "/spool/web/", "/spool//0"],
      ...["spool/web/0", "//spool/web/0", "/ spool/web/0", "/a/spool/web/0"],
      ...["/spool/web/a", "/spool/web/-1", "/spool/web/+1", "/spool/web/1.0", "/spool/web/0x1"],
      ...[
        "/spool/web/80a/x",
        "/spool/web/80#x",
        "/spool/web/80&x",
        "/spool/web/ 80",
        "/spool/web/٣",
      ],
      ...["/spool/./0", "/spool/../0", "/spool/w%65b/0", "/spool/w:80/0", "/spool/w b/0"],
      ...["/spool/wéb/0", "/spool/web\n/0", "/spool/a\\b/0", "/spool/~web/0", "/spool/web;x/0"],
      ...["/SPOOL/web/0", "/1/web/0", "/-a/web/0", "/sp%6fol/web/0", "/spool?/web/0"],
      `/spool/${"w".repeat(201)}/0`,
    ]
  ) {
    assertEquals(parseCheckPath(path), undefined, path);
  }
});
