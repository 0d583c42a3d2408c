import fc from "fast-check";
import { type Config, ConfigError, formatConfig, parseConfig } from "../../src/config.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../support/assert.ts";
import { stringifyYaml } from "../support/yaml.ts";
import { holds, oddText } from "./property.ts";

const headerName = fc.stringMatching(/^X-[!#$%&'*+.^_`|~\w-]{1,10}$/);
const text = fc.string({ minLength: 1, maxLength: 20 });

/** Valid values of each key. */
const VALID = {
  cache_time: fc.double({ min: 0, max: 86_400, noNaN: true }).map(Math.abs),
  cache_failures: fc.constantFrom("once", "always"),
  healthcheck_timeout: fc.double({ min: 0.001, max: 86_400, noNaN: true }),
  max_clients: fc.integer({ min: 1, max: 10_000 }),
  http_headers_to_copy: fc.array(headerName, { maxLength: 4 }),
  service_name_header: headerName,
  forward_traceparent: fc.boolean(),
  log_format: fc.constantFrom("text", "json"),
  log_path: text,
  mysql_username: text,
  mysql_password: text,
  redis_password: text,
  https_verify: fc.boolean(),
  page: fc.boolean(),
  metrics_services: fc.integer({ min: 0, max: 5000 }),
  rlimit_nofile: fc.oneof(fc.constant("max"), fc.integer({ min: 64, max: 1e6 })),
  allow_remote_spool_changes: fc.boolean(),
};

const KEYS = Object.keys(VALID) as (keyof typeof VALID)[];
const DEFAULTS = parseConfig("", "").config;

Deno.test("parseConfig() returns the given values, and the defaults of all other keys", () =>
  holds(
    fc.property(fc.record(VALID, { requiredKeys: [] }), (given) => {
      const { config, unknownKeys } = parseConfig(stringifyYaml(given), "hacheck.yaml");
      assertEquals(unknownKeys, []);
      assertEquals(config, { ...DEFAULTS, ...given } as Config);
    }),
    2500,
  ));

Deno.test("parseConfig() returns the configuration that formatConfig() formatted", () => {
  const odd = { ...VALID, log_path: oddText("yes", "*", "#").filter((path) => path !== "") };
  const { mysql_password: _mysql, redis_password: _redis, ...open } = odd;
  return holds(
    fc.property(fc.record(open, { requiredKeys: [] }), (given) => {
      const config = { ...DEFAULTS, ...given } as Config;
      const formatted = formatConfig(config);
      assertEquals(parseConfig(formatted, "hacheck.yaml"), { config, unknownKeys: [] }, formatted);
    }),
    1000,
  );
});

/** The booleans of YAML 1.1, which the Python hachecks take. */
const BOOLEANS: ReadonlyMap<unknown, boolean> = new Map(
  Object.entries({ yes: true, on: true, no: false, off: false }).flatMap(([word, value]) => {
    const spellings = [word, word[0]!.toUpperCase() + word.slice(1), word.toUpperCase()];
    return spellings.map((spelling) => [spelling, value] as const);
  }),
);

function meaningOf(key: keyof typeof VALID, value: unknown): unknown {
  return typeof DEFAULTS[key] === "boolean" ? BOOLEANS.get(value) ?? value : value;
}

Deno.test("parseConfig() rejects a value of another type, and names the key", () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.double(),
    oddText("yes", "max", "10s", "*"),
    fc.constantFrom(-1, 0, 1.5, 1e9, "0", "true", [], {}, ["Connection"], [1]),
  );
  return holds(
    fc.property(fc.constantFrom(...KEYS), value, (key, value) => {
      const content = stringifyYaml({ [key]: value });
      try {
        const { config } = parseConfig(content, "hacheck.yaml");
        assertEquals(
          config[key] as unknown,
          value === null ? DEFAULTS[key] : meaningOf(key, value),
        );
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
        const start = new RegExp(
          `^Cannot use configuration hacheck\\.yaml: ${key}(\\[\\d+\\])?: expected `,
        );
        assertMatch(error.message, start);
        assert(!error.message.includes("\n"), error.message);
      }
    }),
    3000,
  );
});

Deno.test("parseConfig() returns a configuration or throws a ConfigError of one line for any text", () =>
  holds(
    fc.property(
      fc.array(
        fc.oneof(
          oddText(
            "- ",
            "? ",
            "&a ",
            "*a",
            "!!binary ",
            "---\n",
            "|\n",
            "cache_time: ",
            "[",
            "{",
            "}",
          ),
          fc.constantFrom(...KEYS).map((key) => `\n${key}: `),
        ),
        { maxLength: 8 },
      ),
      (pieces) => {
        try {
          const { config } = parseConfig(pieces.join(""), "hacheck.yaml");
          assertEquals(Object.keys(config), Object.keys(DEFAULTS));
        } catch (error) {
          assert(error instanceof ConfigError, String(error));
          assert(
            error.message.startsWith("Cannot use configuration hacheck.yaml: "),
            error.message,
          );
          assert(!error.message.includes("\n"), error.message);
        }
      },
    ),
    4000,
  ));

Deno.test("parseConfig() shows no password in an error message", () => {
  const secret = "s3cr3t";
  const password = fc.constantFrom(
    "mysql_password",
    "postgres_password",
    "redis_password",
    "sentinel_password",
  );
  const wrong = fc.constantFrom<(key: string) => string>(
    (key) => `${key}: [${secret}]`,
    (key) => `${key}: {${secret}: ${secret}}`,
    (key) => `${key}: !!${secret} x`,
    (key) => `${key}: !<${secret}> x`,
    (key) => `${key}: "${secret}`,
    (key) => `${key}: *${secret}`,
    (key) => `${key}: ${secret}\n  ${secret}: x`,
    (key) => `${key}:\n\t${secret}`,
    (key) => `${key}: @${secret}`,
    (key) => `${key}: 5\n${secret}: [`,
    (key) => `${key}: {"${secret}": "\\${secret}"}`,
  );
  return holds(
    fc.property(
      password,
      wrong,
      oddText().map((text) => text.replace(/s3cr3t/g, "")),
      (key, wrong, noise) => {
        const broken = `${wrong(key)}\n${noise}\n: [`;
        const { message } = assertThrows(() => parseConfig(broken, "hacheck.yaml"), ConfigError);
        assert(!message.includes(secret), message);
      },
    ),
    2000,
  );
});
