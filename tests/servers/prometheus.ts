/**
 * A real Prometheus.
 *
 * @module
 */

import { until } from "./mod.ts";
import { ServerProcess } from "./process.ts";

/** The programs that it takes. */
export const PROMETHEUS_PROGRAMS: readonly string[] = ["prometheus", "promtool"];

/** What Prometheus answers to a query: for each series its labels and its value. */
export type Vector = readonly {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}[];

/** How a rule fares. */
export interface Rule {
  /** Its name. */
  readonly name: string;
  /** `ok` once it could be evaluated. */
  readonly health: string;
  /** Why it could not. */
  readonly lastError?: string;
}

/** What a Prometheus is told. */
export interface PrometheusOptions {
  /** The `scrape_configs` section of its configuration. */
  readonly scrapeConfigs: string;
  /** The content of a file of rules. */
  readonly rules?: string;
}

/** A Prometheus of 127.0.0.1 that scrapes once a second. */
export class Prometheus extends ServerProcess {
  readonly #options: PrometheusOptions;

  private constructor(options: PrometheusOptions) {
    super();
    this.#options = options;
  }

  /**
   * Starts one, and waits until it answers.
   *
   * @param options What it is told.
   */
  static start(options: PrometheusOptions): Promise<Prometheus> {
    return new Prometheus(options).launch();
  }

  /**
   * Asks it for something, now.
   *
   * @param expression What, in PromQL.
   * @returns The answer.
   * @throws {Error} If it does not understand.
   */
  async query(expression: string): Promise<Vector> {
    const { result } = await this.#ask(
      `/api/v1/query?${new URLSearchParams({ query: expression })}`,
    ) as { result: Vector };
    return result;
  }

  /**
   * Asks it for one figure.
   *
   * @param expression What, in PromQL.
   * @returns The value of the only series; undefined if there is none.
   * @throws {Error} If there are several.
   */
  async figure(expression: string): Promise<number | undefined> {
    const [first, ...others] = await this.query(expression);
    if (others.length > 0) throw new Error(`${expression} has more than one series`);
    return first === undefined ? undefined : Number(first.value[1]);
  }

  /**
   * Waits until it has scraped its targets anew.
   *
   * @param targets How many there are.
   */
  async scraped(targets = 1): Promise<void> {
    // A scrape bears the time of its beginning.
    const now = Date.now() / 1000;
    await until("every target was scraped", async () => {
      return await this.figure(`count(up == 1 and timestamp(up) > ${now})`) === targets;
    });
  }

  /** How its rules fare. */
  async rules(): Promise<readonly Rule[]> {
    const { groups } = await this.#ask("/api/v1/rules") as {
      groups: readonly { readonly rules: readonly Rule[] }[];
    };
    return groups.flatMap(({ rules }) => rules);
  }

  protected override commandOn(port: number): readonly string[] {
    const { scrapeConfigs, rules = "" } = this.#options;
    this.folder.write("rules.yaml", rules);
    const config = this.folder.write(
      "prometheus.yaml",
      `global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [rules.yaml]
${scrapeConfigs}`,
    );
    return [
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${this.folder.file("data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
  }

  protected override async answers(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${this.port}/-/ready`);
    await response.body?.cancel();
    return response.ok;
  }

  async #ask(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`);
    const { status, data, error } = await response.json();
    if (status !== "success") throw new Error(`Prometheus does not understand: ${error}`);
    return data;
  }
}
