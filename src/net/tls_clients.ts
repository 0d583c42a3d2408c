import { type TlsSettings, UNVERIFIED } from "./tls_connection.ts";

/** The kinds of services that hacheck connects to with TLS. Each has keys of its own in the configuration. */
export const TLS_CLIENTS = [
  "https",
  "grpcs",
  "rediss",
  "sentinels",
  "mysql",
  "postgres",
  "smtp",
] as const;

/** One of {@linkcode TLS_CLIENTS}. */
export type TlsClient = typeof TLS_CLIENTS[number];

/** The TLS settings of the connections to each kind of service. */
export type TlsSettingsByClient = Readonly<Record<TlsClient, TlsSettings>>;

/** Verifies no certificate of any service, and sends none. */
export const ALL_UNVERIFIED: TlsSettingsByClient = Object.fromEntries(
  TLS_CLIENTS.map((client) => [client, UNVERIFIED]),
) as TlsSettingsByClient;

/**
 * Whether a protocol that starts without TLS goes on with it: never, where the server offers it, or always. With
 * `prefer`, a check whose handshake fails is made again without TLS, as libpq does.
 */
export type TlsMode = "off" | "prefer" | "require";
