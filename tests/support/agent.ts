import { RawConnection } from "./raw_http.ts";

/**
 * Asks for an agent check, as HAProxy does.
 *
 * @param port The port of 127.0.0.1 on which they are answered.
 * @param question What is sent, its end included; empty for nothing.
 * @returns All that is answered until the connection is closed.
 */
export async function askAgent(port: number, question: string): Promise<string> {
  using connection = await RawConnection.open(port);
  if (question !== "") await connection.send(question);
  return await connection.rest();
}
