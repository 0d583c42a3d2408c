import { ALL_UNVERIFIED } from "../../src/net/tls_clients.ts";
import { parseConfig } from "../../src/config.ts";
import { Instance } from "../../src/daemon/instance.ts";
import { RecordedLog } from "../support/log.ts";
import { TempFolder } from "../support/programs.ts";

/** The parts of a request besides its path. */
export interface RequestParts {
  readonly method?: string;
  readonly headers?: Headers;
  readonly body?: string;
}

/** A worker with its own spool, called without a socket. */
export class TestWorker implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #instance: Instance;

  /**
   * @param records The records in the spool at the start, by name.
   * @param config The content of the configuration file.
   */
  constructor(records: Record<string, string> = {}, config = "") {
    for (const [name, content] of Object.entries(records)) this.#folder.write(name, content);
    this.#instance = new Instance(
      {
        ports: [],
        address: "127.0.0.1",
        spoolRoot: this.#folder.path,
        verbose: false,
        startedAt: Date.now() / 1000,
        shared: false,
        descriptors: { count: 1024, isAll: false },
        permissions: { read: [], write: [], net: "everything", others: [] },
      },
      { config: parseConfig(config, "").config, tls: ALL_UNVERIFIED, token: null, identity: null },
      new RecordedLog().log,
    );
  }

  /** Sends a request. The path is not parsed as a URL, which would normalize it. */
  async send(path: string, parts: RequestParts = {}): Promise<{ status: number; body: string }> {
    const request = new Request("http://127.0.0.1/", parts);
    Object.defineProperty(request, "url", { value: `http://127.0.0.1${path}` });
    const info = { remoteAddr: { hostname: "192.0.2.1", transport: "tcp", port: 9 } } as const;
    const response = await this.#instance.router(request, info);
    return { status: response.status, body: await response.text() };
  }

  /** The content of each file in the spool, by name. */
  get files(): Record<string, string> {
    const names = [...Deno.readDirSync(this.#folder.path)].map(({ name }) => name).sort();
    return Object.fromEntries(
      names.map((name) => [name, Deno.readTextFileSync(this.#folder.file(name))]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#instance.stop();
    this.#folder[Symbol.dispose]();
  }
}
