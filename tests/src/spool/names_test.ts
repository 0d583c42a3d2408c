import {
  canHaveRecord,
  isServiceName,
  MAX_SERVICE_LENGTH,
  parseRecordName,
  recordName,
  type Subject,
} from "../../../src/spool/names.ts";
import { assertEquals } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";

const LOCAL = "127.0.0.1";
const LONGEST = "w".repeat(MAX_SERVICE_LENGTH);

const RECORDS: readonly [name: string, subject: Subject][] = [
  ["web", { service: "web", port: 0, host: LOCAL }],
  ["all", { service: "all", port: 0, host: LOCAL }],
  ["web:8080", { service: "web", port: 8080, host: LOCAL }],
  ["web:1", { service: "web", port: 1, host: LOCAL }],
  ["web:65535", { service: "web", port: 65535, host: LOCAL }],
  ["web:10.1.1.1:8080", { service: "web", port: 8080, host: "10.1.1.1" }],
  ["web:127.0.0.2:8080", { service: "web", port: 8080, host: "127.0.0.2" }],
  ["web:2001:db8::1:8080", { service: "web", port: 8080, host: "2001:db8::1" }],
  ["web:::1:8080", { service: "web", port: 8080, host: "::1" }],
  ["web.main_2-B", { service: "web.main_2-B", port: 0, host: LOCAL }],
  ["web.", { service: "web.", port: 0, host: LOCAL }],
  ["8080", { service: "8080", port: 0, host: LOCAL }],
  ["-web", { service: "-web", port: 0, host: LOCAL }],
  ["__proto__:80", { service: "__proto__", port: 80, host: LOCAL }],
  [LONGEST, { service: LONGEST, port: 0, host: LOCAL }],
];

for (const [name, subject] of RECORDS) {
  Deno.test(`parseRecordName() and recordName() agree on ${name.slice(0, 40)}`, () => {
    assertEquals(parseRecordName(name), subject);
    assertEquals(recordName(subject), name);
  });
}

Deno.test("parseRecordName() returns canonical addresses", () => {
  const expected = { service: "web", port: 80, host: "2001:db8::1" };
  for (const name of ["web:2001:DB8::1:80", "web:2001:db8:0:0:0:0:0:1:80"]) {
    assertEquals(parseRecordName(name), expected, name);
  }
  assertEquals(parseRecordName("web:127.0.0.1:80"), { service: "web", port: 80, host: LOCAL });
});

Deno.test("parseRecordName() distinguishes port 0 from the whole service", () => {
  const cases: [name: string, host: string][] = [["web:0", LOCAL], ["web:10.1.1.1:0", "10.1.1.1"]];
  for (const [name, host] of cases) {
    const subject = { service: "web", port: 0, host, isPortZero: true };
    assertEquals(parseRecordName(name), subject);
    assertEquals(recordName(subject), name);
  }
  assertEquals(recordName({ service: "web", port: 0, host: LOCAL }), "web");
});

Deno.test("parseRecordName() rejects other names", () => {
  const names = [
    "",
    ".",
    "..",
    ".web",
    ".hacheck.tmp",
    ".web:8080",
    `${LONGEST}w`,
    `${LONGEST}w:8080`,
    "web:",
    "web:65536",
    "web:99999",
    "web:100000",
    "web:-1",
    "web:+1",
    "web:8.0",
    "web: 80",
    "web:80 ",
    "web:0x50",
    "web:80a",
    "web:８０",
    "a:b",
    "a:b:80",
    ":8080",
    ":10.1.1.1:8080",
    "web::8080",
    "web:8080:8080",
    "web:10.1.1.1",
    "web:10.1.1.1:",
    "web:10.1.1.1:65536",
    "web:10.1.1.256:80",
    "web:10.1.1:80",
    "web:010.1.1.1:80",
    "web:0.0.0.0:80",
    "web:::80",
    "web:[::1]:80",
    "web:::ffff:10.1.1.1:80",
    "web:fe80::1%eth0:80",
    "web:localhost:80",
    "we b",
    "web\n",
    "web:80\n",
    "web/80",
    "web~",
    "wéb",
    "web,80",
    "#web#",
  ];
  for (const name of names) assertEquals(parseRecordName(name), undefined, JSON.stringify(name));
});

Deno.test("canHaveRecord() is false for names that begin with a dot, isServiceName() is not", () => {
  const cases: readonly [service: string, isName: boolean, hasRecord: boolean][] = [
    ["web", true, true],
    ["Web-1.main_2", true, true],
    ["all", true, true],
    ["_", true, true],
    ["...", true, false],
    [".web", true, false],
    [".", false, false],
    ["..", false, false],
    ["", false, false],
    ["web:80", false, false],
    ["web/80", false, false],
    ["web%20", false, false],
    ["we b", false, false],
    ["web\n", false, false],
    ["wéb", false, false],
    [LONGEST, true, true],
    [`${LONGEST}w`, false, false],
  ];
  for (const [service, isName, hasRecord] of cases) {
    assertEquals(isServiceName(service), isName, JSON.stringify(service));
    assertEquals(canHaveRecord(service), hasRecord, JSON.stringify(service));
  }
});

Deno.test("recordName() returns names that a file can have", () => {
  using folder = new TempFolder();
  const host = "2001:1db8:1111:2222:3333:4444:5555:6666";
  const name = recordName({ service: LONGEST, port: 65535, host });
  folder.write(name, "");
  assertEquals(parseRecordName(name), { service: LONGEST, port: 65535, host });
});
