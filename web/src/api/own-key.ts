/** What the key of this tab may do. */
import { useQuery } from "@tanstack/react-query";
import { ask, BASE, ConnectionLost, client, problemOf, type Schemas } from "./client";
import { currentKey, useKey } from "./session";

export type OwnKey = Schemas["OwnKey"];
export type Scope = OwnKey["scope"];

/** Ask the service about a key that is not in use yet. */
export async function readKey(key: string): Promise<OwnKey> {
  const headers = { Authorization: `Bearer ${key}` };
  const answer = await fetch(`${BASE}/v1/key`, { headers }).catch(() => {
    throw new ConnectionLost();
  });
  if (!answer.ok) throw await problemOf(answer, { endsSession: key === currentKey() });
  return answer.json();
}

export function useOwnKey(): OwnKey | undefined {
  const id = useKey()?.split("_")[1] ?? null;
  return useQuery({
    queryKey: ["own-key", id],
    queryFn: () => ask(client.GET("/v1/key")),
    enabled: id !== null,
    staleTime: 60_000,
  }).data;
}

/** Whether the key has a scope. Until the service has answered, it may: a refusal is shown in words anyway. */
export function useMay(scope: Scope): boolean {
  return useOwnKey()?.scopes.includes(scope) ?? true;
}

export const useUsage = () =>
  useQuery({ queryKey: ["usage"], queryFn: () => ask(client.GET("/v1/usage")), refetchInterval: 10_000 });
