import { ALL_UNVERIFIED } from "../../src/net/tls_clients.ts";
import { defaults, loadSettings, parseConfig } from "../../src/config.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TempFolder } from "../support/programs.ts";

const PATH = new URL("../../deploy/hacheck.yaml", import.meta.url).pathname;

/** Reads the keys of the example, each with its line without the comment sign. */
function keys(): Map<string, string> {
  const lines = Deno.readTextFileSync(PATH).matchAll(/^#((\w+):.*)$/gm);
  return new Map([...lines].map(([, line, key]) => [key!, line!]));
}

Deno.test("the example configuration sets nothing", () => {
  const { unknownKeys, ...settings } = loadSettings(PATH);
  assertEquals(unknownKeys, []);
  assertEquals(settings, { config: defaults(), tls: ALL_UNVERIFIED, token: null, identity: null });
});

Deno.test("the example configuration has every key once", () => {
  const lines = [...Deno.readTextFileSync(PATH).matchAll(/^#(\w+):/gm)].map(([, key]) => key!);
  assertEquals(lines.toSorted(), Object.keys(defaults()).toSorted());
});

Deno.test("each key of the example configuration has its default, or an example if it has none", () => {
  for (const [key, fallback] of Object.entries(defaults())) {
    const line = keys().get(key);
    assert(line !== undefined, key);
    const { config, unknownKeys } = parseConfig(`${line}\n`, PATH);
    assertEquals(unknownKeys, []);
    const value = (config as Record<string, unknown>)[key];
    if (fallback === null) assert(value !== null, key);
    else assertEquals(value, fallback, key);
  }
});

Deno.test("the example configuration is valid with all keys that need no file", () => {
  using folder = new TempFolder();
  const path = folder.file("hacheck.yaml");
  const files = /_(?:ca|verify|cert|key|token_file)$/;
  const lines = [...keys()].filter(([key]) => !files.test(key)).map(([, line]) => line);
  Deno.writeTextFileSync(path, `${lines.join("\n")}\n`);
  assertEquals(loadSettings(path).unknownKeys, []);
});
