import type { Header } from "../net/http_client.ts";
import { VERSION } from "../runtime/version.ts";
import { type CheckRequest, isFailure, type Verdict } from "./check.ts";
import { MAX_MESSAGE_KEPT } from "./outcomes.ts";

/** The part of OpenTelemetry's API that is used here. */
interface OpenTelemetry {
  /** Absent with `OTEL_DENO_TRACING=false`. */
  readonly trace?: { getTracer(name: string, version: string): Tracer };
}

/** A tracer of OpenTelemetry. */
export interface Tracer {
  /** Starts a child of the request in whose asynchronous context it is called. */
  startSpan(name: string, options: SpanOptions): Span;
}

/** What a span starts with. */
export interface SpanOptions {
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** In milliseconds since 1970; now by default. */
  readonly startTime?: number;
}

/** A span of OpenTelemetry. */
export interface Span {
  spanContext(): {
    readonly traceId: string;
    readonly spanId: string;
    readonly traceFlags: number;
  };
  setAttribute(key: string, value: string | number): unknown;
  setStatus(status: { readonly code: number; readonly message: string }): unknown;
  end(): void;
}

/** OpenTelemetry's `SpanKind.CLIENT`. */
const CLIENT = 2;

/** OpenTelemetry's `SpanStatusCode.ERROR`. */
const ERROR = 2;

/** Makes a span for each check of a service. */
export class CheckTracer {
  readonly #tracer: Tracer;
  readonly #forwards: boolean;

  /**
   * @param tracer Makes the spans.
   * @param forwards Whether services get a `traceparent` header.
   */
  constructor(tracer: Tracer, forwards: boolean) {
    this.#tracer = tracer;
    this.#forwards = forwards;
  }

  /**
   * Finds the tracer of Deno. Where `OTEL_DENO=true` is in its environment, Deno registers itself as the
   * implementation of OpenTelemetry's API; no permission is needed to find that.
   *
   * @param forwards Whether services get a `traceparent` header.
   * @returns The tracer; undefined if traces are off.
   */
  static find(forwards: boolean): CheckTracer | undefined {
    const key = Symbol.for("opentelemetry.js.api.1");
    const api = (globalThis as Record<symbol, unknown>)[key] as OpenTelemetry | undefined;
    if (api?.trace === undefined) return undefined;
    return new CheckTracer(api.trace.getTracer("hacheck", VERSION), forwards);
  }

  /**
   * Starts the span of a check, as a child of the request whose asynchronous context is active.
   *
   * @param request The check.
   * @param queuedMs How long it was queued, in milliseconds. That is a part of the span.
   */
  begin(request: CheckRequest, queuedMs: number): CheckSpan {
    const { protocol, service, host, port } = request;
    const span = this.#tracer.startSpan(`check ${protocol}`, {
      kind: CLIENT,
      attributes: {
        "hacheck.protocol": protocol,
        "hacheck.service": service,
        "hacheck.queue_ms": queuedMs,
        "server.address": host,
        "server.port": port,
      },
      ...queuedMs > 0 ? { startTime: Date.now() - queuedMs } : {},
    });
    return new CheckSpan(span, this.#forwards ? withTrace(request, span) : request);
  }
}

/** The span of one check. */
export class CheckSpan {
  readonly #span: Span;
  /** The check, with the header that continues the trace if that is to be forwarded. */
  readonly request: CheckRequest;

  /** @param span The span, which has started. */
  constructor(span: Span, request: CheckRequest) {
    this.#span = span;
    this.request = request;
  }

  /** Ends the span with the verdict of the check. */
  end(verdict: Verdict): void {
    const { code, message, reason } = verdict;
    const isDown = isFailure(verdict);
    const span = this.#span;
    for (const [phase, milliseconds] of Object.entries(verdict.phases ?? {})) {
      span.setAttribute(`hacheck.${phase}_ms`, milliseconds);
    }
    span.setAttribute("hacheck.code", code);
    span.setAttribute("hacheck.state", isDown ? "down" : "up");
    if (isDown) {
      if (reason !== undefined) span.setAttribute("error.type", reason);
      const [line = ""] = message.slice(0, MAX_MESSAGE_KEPT).split("\n", 1);
      span.setStatus({ code: ERROR, message: line });
    }
    span.end();
  }
}

/** Adds the header that makes the service's own spans children of a span, in place of the balancer's header. */
function withTrace(request: CheckRequest, span: Span): CheckRequest {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const flags = traceFlags.toString(16).padStart(2, "0");
  const traceparent: Header = ["traceparent", `00-${traceId}-${spanId}-${flags}`];
  const headers = request.headers.filter(([name]) => name.toLowerCase() !== "traceparent");
  return { ...request, headers, traceparent };
}
