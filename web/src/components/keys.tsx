import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ask, client, type Schemas } from "../api/client";
import { useMay } from "../api/own-key";
import { ago } from "../lib/words";
import { CopyButton } from "./copy-button";
import { Confirm } from "./dialog";
import { SelectField, TextField } from "./fields";
import { Notice, Refusal } from "./notice";

type Scope = NonNullable<Schemas["NewKey"]["scope"]>;

function KeyRow({ apiKey }: { apiKey: Schemas["KeyBody"] }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const revoke = useMutation({
    mutationFn: () => ask(client.DELETE("/v1/keys/{key_id}", { params: { path: { key_id: apiKey.id } } })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["keys"] }),
  });
  return (
    <li className="row">
      <div className="row-main">
        <strong>{apiKey.name}</strong> <code>{apiKey.scope}</code>
        <p className="hint">
          {apiKey.revoked_at
            ? `Revoked ${ago(apiKey.revoked_at)}`
            : apiKey.last_used_at
              ? `Last used ${ago(apiKey.last_used_at)}`
              : "Not used yet"}
          {apiKey.expires_at ? ` · expires ${new Date(apiKey.expires_at).toLocaleDateString()}` : ""}
        </p>
        <Refusal error={revoke.error} />
      </div>
      {!apiKey.revoked_at && (
        <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
          Revoke
        </button>
      )}
      {isAsking && (
        <Confirm
          title={`Revoke ${apiKey.name}?`}
          action="Revoke"
          onConfirm={() => revoke.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>Programs that use it are refused from then on.</p>
        </Confirm>
      )}
    </li>
  );
}

function NewKey() {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("write");
  const create = useMutation({
    mutationFn: () => ask(client.POST("/v1/keys", { body: { name: name.trim(), scope } })),
    onSuccess: () => {
      setName("");
      void queries.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <div className="columns">
        <TextField
          label="Name of a new key"
          required
          value={name}
          placeholder="my app"
          onChange={(event) => setName(event.target.value)}
        />
        <SelectField
          label="Scope"
          value={scope}
          onChange={(event) => setScope(event.target.value as Scope)}
          hint="read sees, write also changes, admin also manages keys."
        >
          {["read", "write", "admin"].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </SelectField>
      </div>
      <button type="submit" disabled={create.isPending || !name.trim()}>
        Create the key
      </button>
      <Refusal error={create.error} />
      {create.data && (
        <Notice tone="info" title="This is the only time that the key is shown">
          <code className="secret">{create.data.api_key}</code>{" "}
          <CopyButton label="Copy" text={create.data.api_key} />
        </Notice>
      )}
    </form>
  );
}

export function Keys() {
  const mayManage = useMay("admin");
  const keys = useQuery({
    queryKey: ["keys"],
    queryFn: () => ask(client.GET("/v1/keys", { params: { query: { limit: 100 } } })),
    enabled: mayManage,
  });
  return (
    <section className="card">
      <h2>API keys</h2>
      {mayManage ? (
        <Refusal error={keys.error} />
      ) : (
        <p className="hint">
          Only a key with the scope <code>admin</code> can manage keys.
        </p>
      )}
      {mayManage && keys.data && (
        <>
          <ul className="rows">
            {keys.data.data.map((key) => (
              <KeyRow key={key.id} apiKey={key} />
            ))}
          </ul>
          <NewKey />
        </>
      )}
    </section>
  );
}
