import { parseConfig } from "../../src/config.ts";
import { Instance } from "../../src/daemon/instance.ts";
import { RecordedLog } from "../support/log.ts";
import { TempFolder } from "../support/programs.ts";

/** A request, as it comes from a client that keeps to nothing. */
export interface Asked {
  readonly method?: string;
  readonly headers?: Headers;
  readonly body?: string;
}

/** An event loop on a spool of its own, asked without a port. */
export class AskedLoop implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly #loop: Instance;

  /**
   * @param records What stands in its spool from the start.
   * @param config The content of the configuration file.
   */
  constructor(records: Record<string, string> = {}, config = "") {
    for (const [name, content] of Object.entries(records)) this.#folder.write(name, content);
    this.#loop = new Instance(
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
      { config: parseConfig(config, "").config, trusted: null, token: null, identity: null },
      new RecordedLog().log,
    );
  }

  /** Asks for a path as it is: a URL that is parsed would be another. */
  async ask(path: string, asked: Asked = {}): Promise<{ status: number; body: string }> {
    const request = new Request("http://127.0.0.1/", asked);
    Object.defineProperty(request, "url", { value: `http://127.0.0.1${path}` });
    const info = { remoteAddr: { hostname: "192.0.2.1", transport: "tcp", port: 9 } } as const;
    const response = await this.#loop.router(request, info);
    return { status: response.status, body: await response.text() };
  }

  /** Every file in the spool, with its content. */
  get files(): Record<string, string> {
    const names = [...Deno.readDirSync(this.#folder.path)].map(({ name }) => name).sort();
    return Object.fromEntries(
      names.map((name) => [name, Deno.readTextFileSync(this.#folder.file(name))]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loop.stop();
    this.#folder[Symbol.dispose]();
  }
}
