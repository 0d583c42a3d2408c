import type { Verdict } from "../../../src/checks/check.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { IN_NETWORK_NAMESPACE, LOCAL_ADDRESSES, NETWORK_PROGRAMS } from "../../support/network.ts";
import { run, TempFolder } from "../../support/programs.ts";
import { MariaDb, MARIADB_PROGRAMS } from "../../servers/mariadb.ts";
import { serverTest } from "../../servers/mod.ts";

const [HOST] = LOCAL_ADDRESSES;

/** The server counts the errors of a host only if it finds the host's name. */
const HOSTS = LOCAL_ADDRESSES.map((address) => `${address} client.example\n`).join("");

/** Runs a program in a network of its own, with names for its addresses. */
const IN_NETWORK_WITH_NAMES = [
  ...IN_NETWORK_NAMESPACE,
  ...["unshare", "--mount", "sh", "-c"],
  'mount --bind "$0" /etc/hosts && exec "$@"',
];

/** Starts a server that blocks a host after three connect errors in a row. */
async function startBlocking(folder: TempFolder): Promise<MariaDb> {
  const hosts = folder.write("hosts", HOSTS);
  return await MariaDb.startInNetwork([...IN_NETWORK_WITH_NAMES, hosts], "--max-connect-errors=2");
}

/** More than the connect errors that the server takes before it blocks a host. */
const CHECKS = 5;

/** Runs a program in the network of a server. */
async function beside(db: MariaDb, ...command: readonly string[]): Promise<string> {
  const network = ["--user", "--net", "--preserve-credentials", "--target", String(db.pid)];
  const { code, stdout, stderr } = await run("nsenter", [...network, ...command]);
  if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stderr}`);
  return stdout;
}

/** Checks a server from an address that it may block. */
async function checkFromOutside(
  db: MariaDb,
  times: number,
  user: string,
  password: string,
): Promise<Verdict[]> {
  const program = new URL("mysql_checks.ts", import.meta.url).pathname;
  const args = [HOST!, db.port, times, user, password].map(String);
  const stdout = await beside(db, Deno.execPath(), "run", "--allow-net", program, ...args);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

serverTest(
  "mysqlChecker() never makes MariaDB block the host, whatever the account",
  [...MARIADB_PROGRAMS, ...NETWORK_PROGRAMS],
  async () => {
    using folder = new TempFolder();
    await using db = await startBlocking(folder);
    await db.query(`
      INSTALL SONAME 'auth_ed25519';
      INSTALL SONAME 'auth_pam_v1';
      CREATE USER native IDENTIFIED BY 'right';
      CREATE USER modern IDENTIFIED VIA ed25519 USING PASSWORD('right');
      CREATE USER pam IDENTIFIED VIA pam;
      CREATE USER local IDENTIFIED VIA unix_socket;
    `);
    const refused = /^MySQL sez Access denied for user /;
    const unsupported = /plugin "dialog" \(PAM\), which hacheck does not support/;
    for (
      const [user, password, code, message] of [
        ["native", "wrong", 500, refused],
        ["native", "", 500, refused],
        ["modern", "wrong", 500, refused],
        ["modern", "", 500, refused],
        ["nobody", "wrong", 500, refused],
        ["local", "wrong", 500, refused],
        ["pam", "wrong", 503, unsupported],
        ["modern", "right", 200, /OK$/],
        ["native", "right", 200, /OK$/],
      ] as const
    ) {
      const verdicts = await checkFromOutside(db, CHECKS, user, password);
      assertEquals(verdicts.length, CHECKS);
      for (const verdict of verdicts) {
        assertEquals(verdict.code, code, `${user} ${password}: ${verdict.message}`);
        assertMatch(verdict.message, message);
      }
    }
  },
);

serverTest(
  "a client that connects to MariaDB and closes, as a tcp check does, makes it block the host",
  [...MARIADB_PROGRAMS, ...NETWORK_PROGRAMS, "bash"],
  async () => {
    using folder = new TempFolder();
    await using db = await startBlocking(folder);
    await db.query("CREATE USER native IDENTIFIED BY 'right'");
    assertEquals((await checkFromOutside(db, 1, "native", "right"))[0]!.code, 200);
    const connect = `read -r -n 5 < /dev/tcp/${HOST}/${db.port}`;
    for (let turn = 0; turn < CHECKS; turn++) await beside(db, "bash", "-c", connect);
    const [verdict] = await checkFromOutside(db, 1, "native", "right");
    assertEquals(verdict!.code, 500);
    assertMatch(
      verdict!.message,
      /^MySQL sez Host '.*' is blocked because of many connection errors/,
    );
  },
);
