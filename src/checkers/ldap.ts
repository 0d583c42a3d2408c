import type { Checker, Verdict } from "../checks/check.ts";
import { BufferedReader } from "../net/buffered_reader.ts";
import type { Connection } from "../net/connection.ts";
import { attempt } from "./_attempt.ts";

/** How an LDAP server is checked. */
export interface LdapCheckOptions {
  /** The name (DN) of the user; null for an anonymous bind. */
  readonly username: string | null;
  /** The user's password; null for none. */
  readonly password: string | null;
}

/** The size limit of a message, in bytes. */
export const MAX_LDAP_BYTES = 64 * 1024;

/** How many messages may come before a response: the entry, and notices. */
const MAX_MESSAGES = 10;

/** The names of result codes (RFC 4511, appendix A.2), of those that a bind or a search may have. */
const RESULTS: ReadonlyMap<number, string> = new Map([
  [1, "operationsError"],
  [2, "protocolError"],
  [3, "timeLimitExceeded"],
  [7, "authMethodNotSupported"],
  [8, "strongerAuthRequired"],
  [11, "adminLimitExceeded"],
  [13, "confidentialityRequired"],
  [32, "noSuchObject"],
  [48, "inappropriateAuthentication"],
  [49, "invalidCredentials"],
  [50, "insufficientAccessRights"],
  [51, "busy"],
  [52, "unavailable"],
  [53, "unwillingToPerform"],
  [80, "other"],
]);

/** The results that refuse a login, not the whole server. */
const LOGIN_RESULTS: ReadonlySet<number> = new Set([7, 8, 13, 48, 49, 50]);

/** The tags of BER (X.690) and of messages. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  text: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  simple: 0x80,
  present: 0x87,
  bindRequest: 0x60,
  bindResponse: 0x61,
  unbindRequest: 0x42,
  searchRequest: 0x63,
  searchDone: 0x65,
  notice: 0x78,
} as const;

/** A result of the server. */
interface Result {
  readonly code: number;
  readonly text: string;
}

/**
 * Makes the checker that binds to an LDAP server, anonymously without a user, reads its root DSE, and unbinds.
 *
 * @returns A checker: 200 `LDAP connect response: OK`, 500 and the server's result, or 503 and why there is none.
 */
export function ldapChecker({ username, password }: LdapCheckOptions): Checker {
  return (request, signal) =>
    attempt("LDAP", request, signal, async (attempt) => {
      using connection = await attempt.connect();
      const reader = new BufferedReader(connection);
      const version = element(TAG.integer, [3]);
      const login = element(TAG.simple, bytesOf(password ?? ""));
      const bind = [...version, ...element(TAG.text, bytesOf(username ?? "")), ...login];
      await send(connection, 1, element(TAG.bindRequest, bind));
      const bound = await readResult(reader, TAG.bindResponse);
      if (bound.code !== 0) return refused(bound);
      await send(connection, 2, element(TAG.searchRequest, ROOT_DSE));
      const found = await readResult(reader, TAG.searchDone);
      if (found.code !== 0) return refused(found);
      await send(connection, 3, element(TAG.unbindRequest, []));
      return { code: 200, message: "LDAP connect response: OK" };
    });
}

/** The search for the root DSE: the entry without a name, of any class, and none of its attributes. */
const ROOT_DSE: readonly number[] = [
  ...element(TAG.text, []),
  // Only that entry; no aliases; at most one entry; no time limit; with values.
  ...element(TAG.enumerated, [0]),
  ...element(TAG.enumerated, [0]),
  ...element(TAG.integer, [1]),
  ...element(TAG.integer, [0]),
  ...element(TAG.boolean, [0]),
  ...element(TAG.present, bytesOf("objectClass")),
  ...element(TAG.sequence, element(TAG.text, bytesOf("1.1"))),
];

function refused({ code, text }: Result): Verdict {
  const name = RESULTS.get(code) ?? `result ${code}`;
  const message = `LDAP says ${name}${text === "" ? "" : `: ${text.slice(0, 200)}`}`;
  return { code: 500, message, reason: LOGIN_RESULTS.has(code) ? "login" : "unhealthy" };
}

function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

/** Encodes an element: its tag, its length and its content. */
function element(tag: number, content: readonly number[]): number[] {
  const { length } = content;
  const size = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  return [tag, ...size, ...content];
}

async function send(connection: Connection, id: number, operation: number[]): Promise<void> {
  const message = element(TAG.sequence, [...element(TAG.integer, [id]), ...operation]);
  await connection.write(new Uint8Array(message));
}

/** Reads messages up to a response. A server that closes the connection may send a notice before. */
async function readResult(reader: BufferedReader, tag: number): Promise<Result> {
  for (let messages = 0; messages < MAX_MESSAGES; messages++) {
    const message = await readMessage(reader);
    const id = next(message, 0);
    const operation = next(message, id.end);
    if (operation.tag !== tag && operation.tag !== TAG.notice) continue;
    const { content } = operation;
    const code = next(content, 0);
    const name = next(content, code.end);
    const text = next(content, name.end);
    if (code.tag !== TAG.enumerated || code.content.length !== 1) throw notLdap();
    return { code: code.content[0]!, text: new TextDecoder().decode(text.content) };
  }
  throw notLdap();
}

async function readMessage(reader: BufferedReader): Promise<Uint8Array> {
  const [tag, first] = await reader.exactly(2);
  if (tag !== TAG.sequence) throw notLdap();
  return await reader.exactly(await lengthOf(first!, () => reader.exactly(1)));
}

/** Returns a length: one byte, or the number of bytes that follow. */
async function lengthOf(first: number, nextByte: () => Promise<Uint8Array>): Promise<number> {
  if (first < 0x80) return first;
  const count = first - 0x80;
  if (count > 4) throw notLdap();
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (await nextByte())[0]!;
  if (length > MAX_LDAP_BYTES) throw notLdap();
  return length;
}

/** An element within a message. */
interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Where the next one begins. */
  readonly end: number;
}

function next(bytes: Uint8Array, start: number): Element {
  const [tag, first] = [bytes[start], bytes[start + 1]];
  if (tag === undefined || first === undefined) throw notLdap();
  const count = first < 0x80 ? 0 : first - 0x80;
  if (count > 4) throw notLdap();
  let length = first < 0x80 ? first : 0;
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + 2 + i] ?? 0);
  const at = start + 2 + count;
  if (at + length > bytes.length) throw notLdap();
  return { tag, content: bytes.subarray(at, at + length), end: at + length };
}

function notLdap(): Error {
  return new Error("the server does not speak LDAP");
}
