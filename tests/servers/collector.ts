/**
 * A collector of OpenTelemetry, which receives OTLP over HTTP as JSON.
 *
 * @module
 */

/** A span as it was received. */
export interface ReceivedSpan {
  /** Its name. */
  readonly name: string;
  /** The name of the instrumentation: `deno`, or `hacheck`. */
  readonly scope: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** 2 for an error, else 0. */
  readonly status: { readonly code: number; readonly message: string };
  /** Its attributes. */
  readonly attributes: Readonly<Record<string, string | number>>;
}

interface OtlpSpan extends Pick<ReceivedSpan, "name" | "traceId" | "spanId" | "parentSpanId"> {
  readonly status?: ReceivedSpan["status"];
  readonly attributes: readonly {
    readonly key: string;
    readonly value: Readonly<Record<string, string | number>>;
  }[];
}

interface OtlpTraces {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly OtlpSpan[];
    }[];
  }[];
}

/** A collector of 127.0.0.1. */
export class Collector implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #spans: ReceivedSpan[] = [];
  /** The paths that were requested. */
  readonly paths: Set<string> = new Set();

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => this.#receive(request),
    );
  }

  /** The spans that hacheck itself has made, as they were received. */
  get checks(): ReceivedSpan[] {
    return this.#spans.filter(({ scope }) => scope === "hacheck");
  }

  /** Finds a span by its ID. */
  find(spanId: string): ReceivedSpan | undefined {
    return this.#spans.find((span) => span.spanId === spanId);
  }

  /** Returns the command that runs a program whose traces it gets. */
  tracing(...variables: readonly string[]): string[] {
    return [
      "env",
      "OTEL_DENO=true",
      "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
      `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${this.#server.addr.port}`,
      // How long spans are collected before they are sent, in milliseconds.
      "OTEL_BSP_SCHEDULE_DELAY=50",
      ...variables,
    ];
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #receive(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.paths.add(pathname);
    const body = await request.json();
    if (pathname === "/v1/traces") this.#spans.push(...spansOf(body));
    return Response.json({});
  }
}

function spansOf({ resourceSpans }: OtlpTraces): ReceivedSpan[] {
  return resourceSpans.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => ({
        ...{ scope: scope.name, name: span.name, traceId: span.traceId, spanId: span.spanId },
        parentSpanId: span.parentSpanId,
        status: span.status ?? { code: 0, message: "" },
        attributes: Object.fromEntries(
          span.attributes.map(({ key, value }) => [key, Object.values(value)[0]!]),
        ),
      }))
    )
  );
}
