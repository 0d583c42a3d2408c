import { RawConnection } from "./raw_http.ts";

/**
 * Sends an agent check, as HAProxy does.
 *
 * @param port The agent port of 127.0.0.1.
 * @param request What to send, with the line feed; empty to send nothing.
 * @returns The whole response, read until the daemon closes the connection.
 */
export async function askAgent(port: number, request: string): Promise<string> {
  using connection = await RawConnection.open(port);
  if (request !== "") await connection.send(request);
  return await connection.readAll();
}
