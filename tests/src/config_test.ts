import { ALL_UNVERIFIED, TLS_CLIENTS, type TlsClient } from "../../src/net/tls_clients.ts";
import {
  closestKey,
  type Config,
  ConfigError,
  configWarnings,
  defaults,
  formatConfig,
  loadSettings,
  parseConfig,
  Restrictions,
} from "../../src/config.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../support/assert.ts";
import { page } from "../support/docs.ts";
import { run, TempFolder } from "../support/programs.ts";
import { CERTIFICATE_PROGRAMS, issueSelfSigned } from "../servers/certificates.ts";
import { serverTest } from "../servers/mod.ts";

/** The defaults of the keys of TLS connections to services. */
const TLS_DEFAULTS = Object.fromEntries(
  TLS_CLIENTS.flatMap((client) => [
    [`${client}_verify`, false],
    ...["ca", "cert", "key", "server_name"].map((name) => [`${client}_${name}`, null]),
  ]),
) as Pick<
  Config,
  `${TlsClient}_verify` | `${TlsClient}_${"ca" | "cert" | "key" | "server_name"}`
>;

const DEFAULTS: Config = {
  cache_time: 10,
  cache_failures: "once",
  healthcheck_timeout: 10,
  max_clients: 256,
  http_headers_to_copy: ["Host"],
  service_name_header: null,
  log_format: "text",
  log_path: "stderr",
  mysql_username: null,
  mysql_password: null,
  postgres_username: null,
  postgres_password: null,
  postgres_database: null,
  ldap_username: null,
  ldap_password: null,
  redis_username: null,
  redis_password: null,
  sentinel_username: null,
  sentinel_password: null,
  ...TLS_DEFAULTS,
  mysql_tls: "prefer",
  postgres_tls: "prefer",
  smtp_tls: "off",
  forward_traceparent: false,
  send_proxy: {},
  page: true,
  metrics_services: 200,
  rlimit_nofile: null,
  agent_port: null,
  agent_down: "maint",
  agent_silence: null,
  spool_in_checks: true,
  allow_remote_spool_changes: false,
  check_hosts: [],
  own_addresses: null,
  check_ports: null,
  allowed_clients: null,
  remote_spool_clients: null,
  remote_spool_token: null,
  remote_spool_token_file: null,
  tls_cert: null,
  tls_key: null,
};

Deno.test("parseConfig() returns the defaults for a file without keys", () => {
  for (const content of ["", "\n", "# nothing\n", "---\n", "\uFEFF"]) {
    assertEquals(parseConfig(content, "x.yaml"), { config: DEFAULTS, unknownKeys: [] });
  }
});

/** The keys that restrict something if they are set. */
const RESTRICTING: readonly string[] = [
  ...TLS_CLIENTS.map((client) => `${client}_verify`),
  "mysql_tls",
  "postgres_tls",
  "smtp_tls",
  "check_hosts",
  "check_ports",
  "allowed_clients",
  "remote_spool_clients",
  "remote_spool_token",
  "remote_spool_token_file",
];

Deno.test("parseConfig() rejects a restricting key without a value", () => {
  for (const key of RESTRICTING) {
    for (const nothing of ["", " null", " ~"]) {
      const refused = () => parseConfig(`cache_time: 3\n${key}:${nothing}\n`, "x.yaml");
      const { message } = assertThrows(refused, ConfigError);
      assertMatch(message, new RegExp(`^Cannot use .*: ${key}: expected .+: found no value$`));
    }
  }
});

Deno.test("parseConfig() takes any other key without a value for an absent one", () => {
  for (const [key, fallback] of Object.entries(DEFAULTS)) {
    if (RESTRICTING.includes(key)) continue;
    for (const nothing of ["", " null", " ~"]) {
      assertEquals(
        parseConfig(`${key}:${nothing}\n`, "x.yaml").config[key as keyof Config],
        fallback,
      );
    }
  }
});

/** The shortest valid token. */
const TOKEN = "0Az-._~+/23456==".padStart(18, "x");

const ACCEPTED: readonly [line: string, part: Partial<Config>][] = [
  ["cache_time: 0", { cache_time: 0 }],
  ["cache_time: 0.5", { cache_time: 0.5 }],
  ["cache_time: 86400", { cache_time: 86_400 }],
  ["cache_failures: always", { cache_failures: "always" }],
  ["cache_failures: once", { cache_failures: "once" }],
  ["healthcheck_timeout: 0.001", { healthcheck_timeout: 0.001 }],
  ["healthcheck_timeout: 86400", { healthcheck_timeout: 86_400 }],
  ["max_clients: 1", { max_clients: 1 }],
  ["max_clients: 10000", { max_clients: 10_000 }],
  ["http_headers_to_copy: []", { http_headers_to_copy: [] }],
  ["http_headers_to_copy: [Host, X-Site]", { http_headers_to_copy: ["Host", "X-Site"] }],
  ["http_headers_to_copy:\n- Host\n- X_1~", { http_headers_to_copy: ["Host", "X_1~"] }],
  ["service_name_header: X-Service", { service_name_header: "X-Service" }],
  ["log_path: stdout", { log_path: "stdout" }],
  ["log_path: /var/log/hacheck.log", { log_path: "/var/log/hacheck.log" }],
  ["mysql_username: nagios", { mysql_username: "nagios" }],
  ['mysql_password: ""', { mysql_password: "" }],
  ["mysql_password: 'it''s # secret'", { mysql_password: "it's # secret" }],
  ["postgres_username: nagios", { postgres_username: "nagios" }],
  ["postgres_password: '1'", { postgres_password: "1" }],
  ["postgres_database: web", { postgres_database: "web" }],
  ["redis_username: nagios", { redis_username: "nagios" }],
  ["redis_password: a:b", { redis_password: "a:b" }],
  ["sentinel_username: nagios", { sentinel_username: "nagios" }],
  ['sentinel_password: ""', { sentinel_password: "" }],
  ["https_verify: true", { https_verify: true }],
  ["send_proxy: {http: v1, tcp/db: v2}", { send_proxy: { http: "v1", "tcp/db": "v2" } }],
  ["https_ca: /etc/ssl/ca.pem", { https_ca: "/etc/ssl/ca.pem" }],
  ["log_format: json", { log_format: "json" }],
  ["forward_traceparent: true", { forward_traceparent: true }],
  ["page: false", { page: false }],
  ["metrics_services: 0", { metrics_services: 0 }],
  ["rlimit_nofile: max", { rlimit_nofile: "max" }],
  ["rlimit_nofile: 64", { rlimit_nofile: 64 }],
  ["agent_port: 3334", { agent_port: 3334 }],
  ["agent_down: down", { agent_down: "down" }],
  ["own_addresses: []", { own_addresses: [] }],
  ["own_addresses: [10.0.0.5, 'FD00::5']", { own_addresses: ["10.0.0.5", "FD00::5"] }],
  ["agent_silence: all", { agent_silence: "all" }],
  ["agent_silence: web/8080", { agent_silence: "web/8080" }],
  ["spool_in_checks: false", { spool_in_checks: false }],
  ["allow_remote_spool_changes: true", { allow_remote_spool_changes: true }],
  ["check_hosts: []", { check_hosts: [] }],
  ["check_hosts: [10.0.0.0/8, '2001:db8::1']", { check_hosts: ["10.0.0.0/8", "2001:db8::1"] }],
  ["check_ports: [80, 8000-8999]", { check_ports: [80, "8000-8999"] }],
  ["check_ports: [1, 65535, 1-65535, 7-7]", { check_ports: [1, 65_535, "1-65535", "7-7"] }],
  ["allowed_clients: ['::/0']", { allowed_clients: ["::/0"] }],
  ["remote_spool_clients:\n- 10.1.2.3", { remote_spool_clients: ["10.1.2.3"] }],
  [`remote_spool_token: ${TOKEN}`, { remote_spool_token: TOKEN }],
  ["remote_spool_token_file: /etc/token", { remote_spool_token_file: "/etc/token" }],
  ["tls_cert: a.pem\ntls_key: a.key", { tls_cert: "a.pem", tls_key: "a.key" }],
  ...["yes", "Yes", "YES", "on", "On", "ON", "True", "TRUE"].map((word) =>
    [`https_verify: ${word}`, { https_verify: true }] as [string, Partial<Config>]
  ),
  ...["no", "No", "NO", "off", "Off", "OFF", "False", "FALSE"].map((word) =>
    [`spool_in_checks: ${word}`, { spool_in_checks: false }] as [string, Partial<Config>]
  ),
  ["mysql_username: yes\nlog_path: off", { mysql_username: "yes", log_path: "off" }],
  ["\t# a comment\ncache_time: 1\n\t\n", { cache_time: 1 }],
];

Deno.test("parseConfig() reads every key, and keeps the defaults of the others", () => {
  for (const [line, part] of ACCEPTED) {
    assertEquals(
      parseConfig(line, "x.yaml"),
      { config: { ...DEFAULTS, ...part }, unknownKeys: [] },
      line,
    );
  }
});

Deno.test("parseConfig() returns unknown keys in their order", () => {
  const { config, unknownKeys } = parseConfig(
    "cashe_time: 3\ncache_time: 4\nMAX_CLIENTS: [1]\ntoString: 1\n__proto__: {cache_time: 5}\n",
    "x.yaml",
  );
  assertEquals(config, { ...DEFAULTS, cache_time: 4 });
  assertEquals(unknownKeys, ["cashe_time", "MAX_CLIENTS", "toString", "__proto__"]);
});

function notYaml(why: string, line: number, column: number): string {
  return `it is not YAML: ${why} at line ${line}, column ${column}`;
}

const HEADERS = "a list of header names";
const HEADER = "a header name, and none of hacheck's own (Connection, User-Agent, …)";

const NETWORKS = "IP addresses and CIDR ranges";
const NETWORK = "an IP address, or a CIDR range with no bits set beyond the prefix " +
  "(10.1.0.0/16, not 10.1.2.3/16)";
const PORT = "a port, from 1 to 65535, or a range of them (8000-8999)";
const PORTS = "a list, not empty, of ports and ranges of them (8000-8999)";
const TOKENS = 'at least 16 letters, digits, "-", ".", "_", "~", "+" and "/"';

/** Lists with one wrong element, its place, and how messages show it. */
const WRONG_NETWORK: readonly (readonly [value: string, index: number, shown: string])[] = [
  ["[10.1.2.3/16]", 0, '"10.1.2.3/16"'],
  ["[10.0.0.0/8, 10.0.0.1/8]", 1, '"10.0.0.1/8"'],
  ["[localhost]", 0, '"localhost"'],
  ["[10.0.0.0/33]", 0, '"10.0.0.0/33"'],
  ["[0x7f.1]", 0, '"0x7f.1"'],
  ["['::ffff:10.0.0.1']", 0, '"::ffff:10.0.0.1"'],
  ["['::']", 0, '"::"'],
  ["[10]", 0, "10"],
  ["['::1', {10.0.0.0/8: true}, 10.0.0.1]", 1, "keys and values"],
  ["['::1', , 10.0.0.1]", 1, "null"],
];
const WRONG_PORT: readonly (readonly [value: string, index: number, shown: string])[] = [
  ["[0]", 0, "0"],
  ["[65536]", 0, "65536"],
  ["[80.5]", 0, "80.5"],
  ["[80, 443, '80']", 2, '"80"'],
  ["[0-80]", 0, '"0-80"'],
  ["[80-79]", 0, '"80-79"'],
  ["[80-65536]", 0, '"80-65536"'],
  ["[080-90]", 0, '"080-90"'],
  ["[80-90-100]", 0, '"80-90-100"'],
  ["['80 - 90']", 0, '"80 - 90"'],
  ["[-80]", 0, "-80"],
  ["[80, [443]]", 1, "[443]"],
  ["[80, [[443]]]", 1, "a list"],
];

const REJECTED: readonly (readonly [line: string, message: string])[] = [
  ["cache_time: -1", "cache_time: expected a number of seconds from 0 to 86400: found -1"],
  ["cache_time: 86401", "cache_time: expected a number of seconds from 0 to 86400: found 86401"],
  ["cache_time: .inf", "cache_time: expected a number of seconds from 0 to 86400: found Infinity"],
  ["cache_time: .nan", "cache_time: expected a number of seconds from 0 to 86400: found NaN"],
  ["cache_time: '3'", 'cache_time: expected a number of seconds from 0 to 86400: found "3"'],
  ["cache_time: 3s", 'cache_time: expected a number of seconds from 0 to 86400: found "3s"'],
  ["cache_time: true", "cache_time: expected a number of seconds from 0 to 86400: found true"],
  ["cache_time: [3]", "cache_time: expected a number of seconds from 0 to 86400: found [3]"],
  [
    "cache_time: &a [*a]",
    "cache_time: expected a number of seconds from 0 to 86400: found a list",
  ],
  [
    "cache_time: 2026-01-01",
    "cache_time: expected a number of seconds from 0 to 86400: found a date",
  ],
  [
    "healthcheck_timeout: 0",
    "healthcheck_timeout: expected a number of seconds from 0.001 to 86400: found 0",
  ],
  ...["0", "65536", "3334.5", "-1", "'3334'", "[3334]"].map((value): [string, string] => [
    `agent_port: ${value}`,
    `agent_port: expected a port, from 1 to 65535: found ${value.replaceAll("'", '"')}`,
  ]),
  ...["web", "10.0.0.0/8", "0.0.0.0", "10.0.0.05"].map((address): [string, string] => [
    `own_addresses: [${address}]`,
    `own_addresses[0]: expected an IP address: found "${address}"`,
  ]),
  ["agent_down: drain", 'agent_down: expected maint or down: found "drain"'],
  ...["web:8080", "web/65536", "", "a b", "web/8080/x"].map((name): [string, string] => [
    `agent_silence: ${JSON.stringify(name)}`,
    "agent_silence: expected a service as agent checks name it (web or web/8080), or all: " +
    `found ${JSON.stringify(name)}`,
  ]),
  [
    "agent_silence: true",
    "agent_silence: expected a service as agent checks name it (web or web/8080), or all: found true",
  ],
  ["agent_down: true", "agent_down: expected maint or down: found true"],
  ["spool_in_checks: 0", "spool_in_checks: expected true or false: found 0"],
  ["cache_failures: never", 'cache_failures: expected once or always: found "never"'],
  ["max_clients: 0", "max_clients: expected a whole number from 1 to 10000: found 0"],
  ["max_clients: 1.5", "max_clients: expected a whole number from 1 to 10000: found 1.5"],
  ["max_clients: 10001", "max_clients: expected a whole number from 1 to 10000: found 10001"],
  ["max_clients: many", 'max_clients: expected a whole number from 1 to 10000: found "many"'],
  ["http_headers_to_copy: Host", `http_headers_to_copy: expected ${HEADERS}: found "Host"`],
  ["http_headers_to_copy: [1]", `http_headers_to_copy[0]: expected ${HEADER}: found 1`],
  [
    "http_headers_to_copy: [Host, 'X Y']",
    `http_headers_to_copy[1]: expected ${HEADER}: found "X Y"`,
  ],
  ...["connection", "User-Agent", "X\\r\\nY"].map((name) =>
    [
      `http_headers_to_copy: ["${name}"]`,
      `http_headers_to_copy[0]: expected ${HEADER}: found "${name}"`,
    ] as const
  ),
  [
    "http_headers_to_copy: {Host: 1}",
    `http_headers_to_copy: expected ${HEADERS}: found keys and values`,
  ],
  ["service_name_header: ''", `service_name_header: expected ${HEADER}: found ""`],
  ["service_name_header: 'X:'", `service_name_header: expected ${HEADER}: found "X:"`],
  [
    "service_name_header: Content-Length",
    `service_name_header: expected ${HEADER}: found "Content-Length"`,
  ],
  ["log_path: ''", 'log_path: expected stdout, stderr or the path of a file: found ""'],
  ["log_path: 1", "log_path: expected stdout, stderr or the path of a file: found 1"],
  ["log_format: JSON", 'log_format: expected text or json: found "JSON"'],
  [
    "send_proxy: v1",
    'send_proxy: expected keys and values such as {http: v1, http/web: v2}: found "v1"',
  ],
  [
    "send_proxy: [http]",
    'send_proxy: expected keys and values such as {http: v1, http/web: v2}: found ["http"]',
  ],
  ...([["http", "v3"], ["htp", "v1"], ["http/", "v1"], ["http/a/b", "v2"], [
    "spool",
    "v1",
  ]] as const)
    .map(([target, version]) =>
      [
        `send_proxy: {${target}: ${version}, tcp: off}`,
        `send_proxy.${target}: expected a protocol, or a protocol and a service (http/web), ` +
        `with off, v1 or v2: found "${version}"`,
      ] as [string, string]
    ),
  ["https_verify: 1", "https_verify: expected true or false: found 1"],
  ["mysql_tls: on", 'mysql_tls: expected off, prefer or require: found "on"'],
  ["smtp_server_name: 10.0.0.1", 'smtp_server_name: expected the name of a host: found "10.0.0.1"'],
  ["smtp_server_name: a b", 'smtp_server_name: expected the name of a host: found "a b"'],
  ["https_ca: ''", 'https_ca: expected the path of a PEM file: found ""'],
  ["postgres_database: 1", "postgres_database: expected a string: found 1"],
  ["mysql_username: ''", 'mysql_username: expected a string: found ""'],
  ["mysql_username: 5", "mysql_username: expected a string: found 5"],
  [
    "metrics_services: 5001",
    "metrics_services: expected a whole number from 0 to 5000: found 5001",
  ],
  [
    "rlimit_nofile: MAX",
    'rlimit_nofile: expected max or a whole number from 64 on: found "MAX"',
  ],
  ["rlimit_nofile: 63", "rlimit_nofile: expected max or a whole number from 64 on: found 63"],
  ["rlimit_nofile: 64.5", "rlimit_nofile: expected max or a whole number from 64 on: found 64.5"],
  [
    "allow_remote_spool_changes: y",
    'allow_remote_spool_changes: expected true or false: found "y"',
  ],
  [
    "allow_remote_spool_changes: 1",
    "allow_remote_spool_changes: expected true or false: found 1",
  ],
  ["own_addresses: 10.0.0.5", 'own_addresses: expected a list of IP addresses: found "10.0.0.5"'],
  ["check_hosts: 10.0.0.0/8", `check_hosts: expected a list of ${NETWORKS}: found "10.0.0.0/8"`],
  ...["allowed_clients", "remote_spool_clients"].flatMap((key) =>
    [["10.0.0.0/8", '"10.0.0.0/8"'], ["[]", "[]"], ["{'::1': true}", "keys and values"]].map((
      [value, shown],
    ) =>
      [
        `${key}: ${value}`,
        `${key}: expected a list, not empty, of ${NETWORKS}: found ${shown}`,
      ] as const
    )
  ),
  ...["check_hosts", "allowed_clients", "remote_spool_clients"].flatMap((key) =>
    WRONG_NETWORK.map(([value, index, shown]) =>
      [`${key}: ${value}`, `${key}[${index}]: expected ${NETWORK}: found ${shown}`] as const
    )
  ),
  ...["80", "[]"].map((value) =>
    [`check_ports: ${value}`, `check_ports: expected ${PORTS}: found ${value}`] as const
  ),
  ...WRONG_PORT.map(([value, index, shown]) =>
    [`check_ports: ${value}`, `check_ports[${index}]: expected ${PORT}: found ${shown}`] as const
  ),
  [
    `remote_spool_token: ${"x".repeat(15)}`,
    `remote_spool_token: expected ${TOKENS}: found a string`,
  ],
  [
    `remote_spool_token: ${"x".repeat(16)} y`,
    `remote_spool_token: expected ${TOKENS}: found a string`,
  ],
  [
    "remote_spool_token: 1234567890123456",
    `remote_spool_token: expected ${TOKENS}: found a number`,
  ],
  [
    "remote_spool_token_file: ''",
    'remote_spool_token_file: expected the path of a file: found ""',
  ],
  ["tls_cert: 1", "tls_cert: expected the path of a PEM file: found 1"],
  ["tls_key: ''", 'tls_key: expected the path of a PEM file: found ""'],
  [
    "max_clients: 0\ncache_time: x\n",
    'cache_time: expected a number of seconds from 0 to 86400: found "x"; ' +
    "max_clients: expected a whole number from 1 to 10000: found 0",
  ],
  ["cache_time: 1\ncache_time: 2\n", notYaml("Cannot store mapping pair: duplicated key", 2, 1)],
  ["cache_time: 1\n\tmax_clients: 2\n", "it is not YAML: a tab cannot indent at line 2"],
  [
    "cache_time: [1\n",
    notYaml(
      "Cannot read flow collection: unexpected end of the stream within a flow collection",
      2,
      1,
    ),
  ],
  ["- cache_time\n- 10\n", "expected keys and values: found a list"],
  ["cache_time", "expected keys and values: found a string"],
  ["10", "expected keys and values: found a number"],
];

Deno.test("parseConfig() rejects a wrong type or value, and names what it expected", () => {
  for (const [content, message] of REJECTED) {
    const error = assertThrows(() => parseConfig(content, "x.yaml"), ConfigError);
    assertEquals(error.message, `Cannot use configuration x.yaml: ${message}`);
  }
});

const LEAKY = [
  "KEY: [hunter2]",
  "KEY: {hunter2: 1}",
  "KEY: 2026-02-02",
  "KEY: 2222222",
  "KEY: *hunter2",
  "KEY: !hunter2 x",
  "KEY: !<tag:hunter2> x",
  "KEY: !a!hunter2 x",
  "KEY: !!binary hunter2",
  "KEY: @hunter2",
  "KEY: {hunter2",
  'KEY: "hunter2',
  "KEY: hunter2: x",
  "KEY:hunter2",
  "- KEY: hunter2",
  "mysql_username:\n  KEY: hunter2",
  "http_headers_to_copy:\n- KEY: hunter2",
];

Deno.test("parseConfig() shows no password in messages", () => {
  for (const key of Object.keys(DEFAULTS).filter((key) => /_(password|token)$/.test(key))) {
    for (const content of LEAKY) {
      const refused = () => parseConfig(content.replace("KEY", key), "x.yaml");
      const { message } = assertThrows(refused, ConfigError);
      assertEquals(/hunter2|2222222|2026/.test(message), false, message);
    }
  }
});

Deno.test("loadSettings() returns the defaults without a file", () => {
  assertEquals(loadSettings(null), {
    config: DEFAULTS,
    unknownKeys: [],
    tls: ALL_UNVERIFIED,
    token: null,
    identity: null,
  });
});

Deno.test("loadSettings() reads a file", () => {
  using folder = new TempFolder();
  const path = folder.write("hacheck.yaml", "\uFEFFlog_path: /var/log/häcke.log\nx: 1\n");
  const { config, unknownKeys } = loadSettings(path);
  assertEquals([config.log_path, unknownKeys], ["/var/log/häcke.log", ["x"]]);
});

Deno.test("loadSettings() rejects a file that is empty or truncated within a line", () => {
  using folder = new TempFolder();
  const whole = "cache_time: 3\nallowed_clients:\n- 10.0.0.0/8\n- 10.10.0.1\n";
  const cases: [content: string, why: string][] = [
    ...["", "\uFEFF", "\n", " \n\n"].map((content): [string, string] => [
      content,
      "it is empty: expected at least a comment",
    ]),
    ...["x", "# a comment", whole.slice(0, -1), whole.slice(0, -2), whole.slice(0, 20), "a: 1\r"]
      .map((content): [string, string] => [
        content,
        "its last line has no line feed: it was cut off, or needs a line feed at its end",
      ]),
  ];
  for (const [content, why] of cases) {
    const path = folder.write("hacheck.yaml", content);
    const { message } = assertThrows(() => loadSettings(path), ConfigError);
    assertEquals(message, `Cannot use configuration ${path}: ${why}`);
  }
  for (const content of ["# a comment\n", "---\n", "cache_time: 3\r\n", whole]) {
    loadSettings(folder.write("hacheck.yaml", content));
  }
});

for (const client of TLS_CLIENTS) {
  Deno.test(`loadSettings() reads ${client}_ca only if ${client}_verify is true`, () => {
    using folder = new TempFolder();
    const pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
    const ca = folder.write("ca.pem", pem);
    const other = folder.write("other.pem", "-----BEGIN PRIVATE KEY-----\n");
    const mode = Object.hasOwn(DEFAULTS, `${client}_tls`) ? `${client}_tls: require\n` : "";
    const load = (config: string) =>
      loadSettings(folder.write("hacheck.yaml", mode + config)).tls[client].trusted;
    assertEquals(load(`${client}_verify: true\n${client}_ca: ${ca}\n`), pem);
    assertEquals(load(`${client}_ca: ${folder.file("none.pem")}\n`), null);
    for (
      const [config, message] of [
        [
          `${client}_verify: true\n`,
          `${client}_verify needs ${client}_ca: a PEM file with the trusted authorities`,
        ],
        [
          `${client}_verify: true\n${client}_ca: ${folder.file("none.pem")}\n`,
          `Cannot read ${client}_ca ${folder.file("none.pem")}: there is no such file`,
        ],
        [
          `${client}_verify: true\n${client}_ca: ${other}\n`,
          `Cannot use ${client}_ca ${other}: expected certificates in PEM: found none`,
        ],
      ] as const
    ) {
      assertEquals(assertThrows(() => load(config), ConfigError).message, message);
    }
    if (mode === "") return;
    const verifying = `${client}_verify: true\n${client}_ca: ${ca}\n`;
    for (const other of ["off", "prefer"]) {
      const config = `${client}_tls: ${other}\n${verifying}`;
      const file = folder.write("hacheck.yaml", config);
      const { message } = assertThrows(() => loadSettings(file), ConfigError);
      assertEquals(message, `${client}_verify needs ${client}_tls: require`);
    }
  });
}

serverTest(
  "loadSettings() reads a client certificate with its key",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const { certificate, key } = await issueSelfSigned(folder, "client", "DNS:client.example");
    const load = (config: string) => loadSettings(folder.write("hacheck.yaml", config)).tls;
    for (const client of TLS_CLIENTS) {
      const tls = load(`${client}_cert: ${certificate}\n${client}_key: ${key}\n`);
      assertEquals(tls, {
        ...ALL_UNVERIFIED,
        [client]: {
          ...ALL_UNVERIFIED[client],
          identity: { cert: Deno.readTextFileSync(certificate), key: Deno.readTextFileSync(key) },
        },
      });
      for (
        const [config, message] of [
          [`${client}_key: ${key}\n`, `${client}_key needs ${client}_cert: the PEM file it is for`],
          [
            `${client}_cert: ${certificate}\n`,
            `${client}_cert needs ${client}_key: the PEM file of its key`,
          ],
          [
            `${client}_cert: ${key}\n${client}_key: ${certificate}\n`,
            `Cannot use ${client}_cert ${key} with ${client}_key ${certificate}: `,
          ],
        ] as const
      ) {
        assertStringIncludes(assertThrows(() => load(config), ConfigError).message, message);
      }
    }
  },
);

Deno.test("loadSettings() returns the server names of TLS connections", () => {
  using folder = new TempFolder();
  const file = folder.write("hacheck.yaml", "mysql_server_name: db.example\n");
  const { tls } = loadSettings(file);
  assertEquals(tls, {
    ...ALL_UNVERIFIED,
    mysql: { ...ALL_UNVERIFIED.mysql, serverName: "db.example" },
  });
});

Deno.test("loadSettings() reports why a file cannot be read", async () => {
  using folder = new TempFolder();
  // Reading it would wait for ever.
  await run("mkfifo", [folder.file("pipe")]);
  Deno.writeFileSync(folder.file("latin1.yaml"), Uint8Array.of(0x61, 0x3a, 0x20, 0xe9));
  folder.write("x.yaml", "cache_time: x\n");
  const cases: [path: string, message: string][] = [
    [folder.file("none.yaml"), "Cannot read configuration PATH: there is no such file"],
    [folder.path, "Cannot read configuration PATH: it is not a regular file"],
    [folder.file("pipe"), "Cannot read configuration PATH: it is not a regular file"],
    [
      folder.file("x.yaml/x"),
      "Cannot read configuration PATH: Not a directory (os error 20)",
    ],
    [folder.file("latin1.yaml"), "Cannot read configuration PATH: it is not UTF-8"],
    [
      folder.file("x.yaml"),
      'Cannot use configuration PATH: cache_time: expected a number of seconds from 0 to 86400: found "x"',
    ],
  ];
  for (const [path, message] of cases) {
    const error = assertThrows(() => loadSettings(path), ConfigError);
    // With --allow-all, Deno adds the path here too.
    const found = error.message.replaceAll(path, "PATH").replace(/(20\)): .*/, "$1");
    assertEquals(found, message);
  }
});

Deno.test("loadSettings() reads the token from its file", () => {
  using folder = new TempFolder();
  const load = (config: string) => loadSettings(folder.write("hacheck.yaml", config)).token;
  const file = folder.write("token", `${TOKEN}\n`);
  assertEquals(load(`remote_spool_token_file: ${file}\n`), TOKEN);
  assertEquals(load(`remote_spool_token: ${TOKEN}\n`), TOKEN);
  const short = folder.write("short", "hunter2\n");
  const two = folder.write("two", `${TOKEN}\n${TOKEN}\n`);
  const cases: [config: string, message: string][] = [
    [
      `remote_spool_token: ${TOKEN}\nremote_spool_token_file: ${file}\n`,
      "remote_spool_token and remote_spool_token_file: expected one of them",
    ],
    [
      `remote_spool_token_file: ${folder.file("none")}\n`,
      `Cannot read remote_spool_token_file ${folder.file("none")}: there is no such file`,
    ],
    ...[short, two].map((path) =>
      [
        `remote_spool_token_file: ${path}\n`,
        `Cannot use remote_spool_token_file ${path}: expected ${TOKENS}: found something else`,
      ] as [string, string]
    ),
  ];
  for (const [config, message] of cases) {
    assertEquals(assertThrows(() => load(config), ConfigError).message, message);
  }
});

/** Successive reloads, and the keys for which the last one is rejected; null if it is accepted. */
const RELOADS: readonly (readonly [contents: readonly string[], lifted: string | null])[] = [
  [["allowed_clients: [10.0.0.1]", ""], "allowed_clients is"],
  [["allowed_clients: [10.0.0.1]", "allowed_clients: [0.0.0.0/0]"], "allowed_clients is"],
  [["allowed_clients: [10.0.0.1]", "allowed_clients: [10.0.0.1, '::/0']"], "allowed_clients is"],
  [
    ["allowed_clients: [10.0.0.1]", "allowed_clients: [128.0.0.0/1, 0.0.0.0/2, 64.0.0.0/2]"],
    "allowed_clients is",
  ],
  [["allowed_clients: [10.0.0.1]", "allowed_clients: [128.0.0.0/1, 0.0.0.0/2]"], null],
  [["allowed_clients: [10.0.0.1]", "allowed_clients: [192.0.2.0/24]"], null],
  [["allowed_clients: [0.0.0.0/0]", "allowed_clients: [0.0.0.0/0]"], null],
  [["allowed_clients: [0.0.0.0/0]", ""], "allowed_clients is"],
  [["allowed_clients: [0.0.0.0/0, '::/0']", ""], null],
  [["", "allowed_clients: [10.0.0.1]"], null],
  [["", "allowed_clients: [10.0.0.1]", ""], "allowed_clients is"],
  [["check_ports: [80]", ""], "check_ports is"],
  [["check_ports: [80]", "check_ports: [1-65535]"], "check_ports is"],
  [["check_ports: [80]", "check_ports: [81-65535, 80, 1-79]"], "check_ports is"],
  [["check_ports: [80]", "check_ports: [2-65535]"], null],
  [["check_ports: [80]", "check_ports: [1-70, 72-65535]"], null],
  [["check_ports: [1-65535]", ""], null],
  [["check_hosts: [10.0.0.0/8]", ""], null],
  [["check_hosts: [10.0.0.0/8]", "check_hosts: [0.0.0.0/0]"], "check_hosts is"],
  [["", "check_hosts: ['::/0']"], "check_hosts is"],
  [["", "check_hosts: ['::/1']"], null],
  [["https_verify: true", ""], "https_verify is"],
  [["https_verify: true", "https_verify: no"], "https_verify is"],
  [["postgres_tls: require", "postgres_tls: prefer"], "postgres_tls is"],
  [["allow_remote_spool_changes: true", ""], null],
  [["", "allow_remote_spool_changes: true"], null],
  ...[
    `remote_spool_token: ${TOKEN}`,
    "remote_spool_token_file: /etc/token",
    "remote_spool_clients: [10.0.0.1]",
  ].flatMap((line): [string[], string | null][] => {
    const allowed = "allow_remote_spool_changes: true";
    const lifted = `${line.split(":")[0]} is`;
    return [
      [[`${allowed}\n${line}`, allowed], lifted],
      // Without changes by POST their restriction does not matter, but it is kept for later.
      [[`${allowed}\n${line}`, ""], null],
      [[`${allowed}\n${line}`, "", allowed], lifted],
      [[line, allowed], lifted],
    ];
  }),
  [
    [
      `remote_spool_token: ${TOKEN}\nallow_remote_spool_changes: true`,
      "remote_spool_token_file: /etc/token\nallow_remote_spool_changes: true",
      `remote_spool_token: ${TOKEN}\nallow_remote_spool_changes: true`,
    ],
    null,
  ],
  [
    ["check_ports: [80]\nallowed_clients: [10.0.0.1]", "cache_time: 1"],
    "check_ports, allowed_clients are",
  ],
];

Deno.test("Restrictions.demand() rejects a configuration that lifts an earlier restriction", () => {
  for (const [contents, lifted] of RELOADS) {
    const [first, ...others] = contents.map((content) => parseConfig(content, "x.yaml").config);
    const last = others.pop()!;
    const restrictions = new Restrictions(first!);
    for (const config of others) {
      restrictions.demand(config);
      restrictions.add(config);
    }
    if (lifted === null) {
      restrictions.demand(last);
      continue;
    }
    const { message } = assertThrows(() => restrictions.demand(last), ConfigError);
    assertEquals(
      message,
      `${lifted} missing or no longer restricts anything: ` +
        "a reload does not lift restrictions, a restart does",
      contents.join(" → "),
    );
  }
});

Deno.test("configWarnings() finds likely mistakes", () => {
  const open = "allow_remote_spool_changes lets every client change the state of services: " +
    "set remote_spool_token_file or remote_spool_clients";
  const alone = "hactl cannot connect to the daemon: allowed_clients does not list 127.0.0.1";
  const cases: [config: string, token: string | null, warnings: string[]][] = [
    ["", null, []],
    ["allow_remote_spool_changes: true", null, [open]],
    ["allow_remote_spool_changes: true", TOKEN, []],
    ["allow_remote_spool_changes: true\nremote_spool_clients: [10.0.0.1]", null, []],
    ["allowed_clients: [10.0.0.0/8]", null, [alone]],
    ["allowed_clients: [10.0.0.0/8, 127.0.0.0/8]", null, []],
    ["mysql_username: a", null, ["mysql_username has no effect without mysql_password"]],
    ["mysql_password: a", null, ["mysql_password has no effect without mysql_username"]],
    ["mysql_username: a\nmysql_password: ''", null, []],
    ["postgres_username: a", null, []],
    ["postgres_username: a\npostgres_database: b\npostgres_password: c", null, []],
    ["postgres_password: a\npostgres_database: b", null, [
      "postgres_password has no effect without postgres_username",
      "postgres_database has no effect without postgres_username",
    ]],
    ...["redis", "sentinel"].flatMap((name): [string, null, string[]][] => [
      [`${name}_username: a`, null, [`${name}_username has no effect without ${name}_password`]],
      [`${name}_password: a`, null, []],
      [`${name}_username: a\n${name}_password: ''`, null, []],
    ]),
    ["https_ca: a.pem", null, ["https_ca has no effect without https_verify: true"]],
    ["https_ca: a.pem\nhttps_verify: true", null, []],
    ["agent_down: down\nagent_silence: all", null, [
      "agent_down has no effect without agent_port or -A",
      "agent_silence has no effect without agent_port or -A",
    ]],
    ["agent_down: down\nagent_silence: all\nagent_port: 3334", null, []],
    ["agent_down: maint", null, []],
    ...[
      ["remote_spool_clients", "[10.0.0.1]"],
      ["remote_spool_token", TOKEN],
      ["remote_spool_token_file", "/etc/token"],
    ].map(([key, value]): [string, string, string[]] => [
      `${key}: ${value}`,
      TOKEN,
      [`${key} has no effect without allow_remote_spool_changes: true`],
    ]),
  ];
  for (const [content, token, warnings] of cases) {
    const { config } = parseConfig(content, "x.yaml");
    assertEquals(
      configWarnings({ config, tls: ALL_UNVERIFIED, token, identity: null }),
      warnings,
      content,
    );
  }
});

Deno.test("configWarnings() knows a port for agent checks from the command line", () => {
  const { config } = parseConfig("agent_silence: all\nagent_down: down\n", "x.yaml");
  const settings = { config, tls: ALL_UNVERIFIED, token: null, identity: null };
  assertEquals(configWarnings(settings, 3334), []);
});

Deno.test("configWarnings() finds nothing in the examples of docs/configuration.md together", () => {
  const examples = [...page("configuration.md").matchAll(/^- example: `(.*)`$/gm)];
  const { config } = parseConfig(examples.map(([, line]) => `${line}\n`).join(""), "x.yaml");
  const settings = { config, tls: ALL_UNVERIFIED, token: TOKEN, identity: null };
  assertEquals(configWarnings(settings), []);
});

Deno.test("closestKey() finds the key that a mistyped one means", () => {
  for (
    const [unknown, key] of [
      ["cashe_time", "cache_time"],
      ["MAX_CLIENTS", "max_clients"],
      ["mysql_pasword", "mysql_password"],
      ["check_host", "check_hosts"],
      ["timeout", undefined],
      ["__proto__", undefined],
      ["toString", undefined],
      ["", undefined],
      ["x".repeat(1_000_000), undefined],
    ] as const
  ) {
    assertEquals(closestKey(unknown), key, unknown.slice(0, 20));
  }
});

Deno.test("formatConfig() has every key, and masks secrets", () => {
  const content = `mysql_password: hunter2\nremote_spool_token: ${TOKEN}\nredis_password: ""\n` +
    "check_ports: [80, 8000-8999]\n";
  const { config } = parseConfig(content, "x.yaml");
  const formatted = formatConfig(config);
  const lines = formatted.split("\n");
  assertEquals(lines.map((line) => line.replace(/^#?(\w*).*/, "$1")), [...Object.keys(config), ""]);
  for (
    const line of [
      "cache_time: 10",
      'http_headers_to_copy: ["Host"]',
      "mysql_username: null",
      'mysql_password: "********"',
      'redis_password: "********"',
      "sentinel_password: null",
      'check_ports: [80,"8000-8999"]',
      "check_hosts: []",
      'remote_spool_token: "********"',
      // A file must not name these without a value.
      "#allowed_clients: null",
      "#remote_spool_token_file: null",
    ]
  ) {
    assert(lines.includes(line), `${line} in ${formatted}`);
  }
  const back = formatted.replace('"********"', "hunter2").replace('"********"', '""')
    .replace('"********"', TOKEN);
  assertEquals(parseConfig(back, "x.yaml"), { config, unknownKeys: [] });
});

/** The keys that the documentation means by a name: `<service>` stands for every kind of TLS connection. */
function keysNamed(name: string): string[] {
  return name.startsWith("<service>")
    ? TLS_CLIENTS.map((client) => name.replace("<service>", client))
    : [name];
}

Deno.test("docs/configuration.md has every key, its default and a valid example", () => {
  const sections = page("configuration.md").split("\n### `").slice(1).flatMap((section) => {
    const [name = ""] = section.split("`");
    return keysNamed(name).map((key) => ({ key: key as keyof Config, section }));
  });
  assertEquals(sections.map(({ key }) => key).toSorted(), Object.keys(DEFAULTS).sort());
  for (const { key, section } of sections) {
    const [, value = ""] = /\n- default: (.*)\n/.exec(section) ?? [];
    const [, code = ""] = /\n- example: `(.*)`\n/.exec(section) ?? [];
    const isNone = value === "none";
    const { config } = parseConfig(isNone ? "" : `${key}: ${value.replaceAll("`", "")}\n`, key);
    assertEquals([key, config[key]], [key, DEFAULTS[key]]);
    assertEquals([key, config[key] === null], [key, isNone]);
    const example = parseConfig(code, key);
    assertEquals([key, example.unknownKeys], [key, []]);
    const [named = ""] = code.split(":");
    assert(keysNamed(named.replace(/^[a-z]+_/, "<service>_")).includes(key) || named === key, code);
    assert(JSON.stringify(example.config) !== JSON.stringify(DEFAULTS), key);
  }
});

Deno.test("docs/configuration.md names every restricting key", () => {
  const [, section = ""] = page("configuration.md").split(
    "\n## A configuration that was cut off\n",
  );
  const names = [...section.matchAll(/`([<>\w]+)(?:: true)?`/g)].flatMap(([, name]) =>
    keysNamed(name!)
  );
  const keys = Object.keys(DEFAULTS).filter((key) => names.includes(key));
  // The section names this key because the others depend on it.
  assertEquals(
    keys.filter((key) => key !== "allow_remote_spool_changes").sort(),
    RESTRICTING.toSorted(),
  );
});

Deno.test("defaults() equals the configuration of an empty file", () => {
  assertEquals(defaults(), parseConfig("", "hacheck.yaml").config);
});
