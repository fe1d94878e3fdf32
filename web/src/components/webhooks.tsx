import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem, ask, client, type Schemas } from "../api/client";
import { useMay } from "../api/own-key";
import { ago } from "../lib/words";
import { TextField } from "./fields";
import { Refusal } from "./notice";
import { ForWriters } from "./rights";

const STATE: Record<Schemas["DeliveryBody"]["state"], { badge: string; word: string }> = {
  pending: { badge: "queued", word: "Pending" },
  delivered: { badge: "succeeded", word: "Delivered" },
  exhausted: { badge: "failed", word: "Given up" },
  disabled: { badge: "canceled", word: "Disabled" },
};

function Delivery({ delivery }: { delivery: Schemas["DeliveryBody"] }) {
  const queries = useQueryClient();
  const again = useMutation({
    mutationFn: () =>
      ask(
        client.POST("/v1/webhook-deliveries/{delivery_id}/redeliver", {
          params: { path: { delivery_id: delivery.id } },
        }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["deliveries"] }),
  });
  const { badge, word } = STATE[delivery.state];
  return (
    <li className="row">
      <span className={`badge badge-${badge}`}>{word}</span>
      <div className="row-main">
        <code>{delivery.event_type}</code>
        <p className="hint">
          {delivery.url} · {ago(delivery.created_at)} · {delivery.attempts}{" "}
          {delivery.attempts === 1 ? "attempt" : "attempts"}
        </p>
        {delivery.last_error && <p className="field-error">{delivery.last_error}</p>}
        <Refusal error={again.error} />
      </div>
      <ForWriters>
        <button type="button" className="quiet" disabled={again.isPending} onClick={() => again.mutate()}>
          Send again
        </button>
      </ForWriters>
    </li>
  );
}

function Endpoint({ endpoint }: { endpoint: Schemas["EndpointBody"] }) {
  const queries = useQueryClient();
  const path = { endpoint_id: endpoint.id };
  const fresh = () => void queries.invalidateQueries({ queryKey: ["endpoints"] });
  const toggle = useMutation({
    mutationFn: () =>
      ask(
        client.PATCH("/v1/webhook-endpoints/{endpoint_id}", {
          params: { path },
          body: { disabled: !endpoint.disabled_at },
        }),
      ),
    onSettled: fresh,
  });
  const remove = useMutation({
    mutationFn: () => ask(client.DELETE("/v1/webhook-endpoints/{endpoint_id}", { params: { path } })),
    onSettled: fresh,
  });
  return (
    <li className="row">
      <div className="row-main">
        {endpoint.url}
        <p className="hint">
          {endpoint.disabled_at ? "Disabled" : endpoint.events.join(", ") || "The ends of jobs"}
        </p>
        <Refusal error={toggle.error ?? remove.error} />
      </div>
      {useMay("admin") && (
        <>
          <button type="button" className="quiet" onClick={() => toggle.mutate()}>
            {endpoint.disabled_at ? "Enable" : "Disable"}
          </button>
          <button type="button" className="quiet danger-text" onClick={() => remove.mutate()}>
            Delete
          </button>
        </>
      )}
    </li>
  );
}

function NewEndpoint() {
  const queries = useQueryClient();
  const [url, setUrl] = useState("");
  const create = useMutation({
    mutationFn: () => ask(client.POST("/v1/webhook-endpoints", { body: { url: url.trim() } })),
    onSuccess: () => {
      setUrl("");
      void queries.invalidateQueries({ queryKey: ["endpoints"] });
    },
  });
  const problem = create.error instanceof ApiProblem ? create.error : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <TextField
        label="URL of a new endpoint"
        type="url"
        value={url}
        placeholder="https://example.com/lipe"
        onChange={(event) => setUrl(event.target.value)}
        error={problem?.about("url")}
      />
      <button type="submit" disabled={create.isPending || !url.trim()}>
        Add the endpoint
      </button>
      {!problem?.about("url") && <Refusal error={create.error} />}
    </form>
  );
}

export function Webhooks() {
  const mayManage = useMay("admin");
  const endpoints = useQuery({
    queryKey: ["endpoints"],
    queryFn: () => ask(client.GET("/v1/webhook-endpoints")),
  });
  const deliveries = useQuery({
    queryKey: ["deliveries"],
    queryFn: () => ask(client.GET("/v1/webhook-deliveries")),
    refetchInterval: 10_000,
  });
  const sent = deliveries.data?.data ?? [];
  return (
    <section className="card">
      <h2>Webhooks</h2>
      <Refusal error={endpoints.error ?? deliveries.error} />
      {endpoints.data?.data.length === 0 && (
        <p className="hint">No endpoint yet. LIPE can tell your own server when a job ends.</p>
      )}
      <ul className="rows">
        {endpoints.data?.data.map((endpoint) => (
          <Endpoint key={endpoint.id} endpoint={endpoint} />
        ))}
      </ul>
      {mayManage ? (
        <NewEndpoint />
      ) : (
        <p className="hint">
          Only a key with the scope <code>admin</code> can change the endpoints.
        </p>
      )}
      {sent.length > 0 && (
        <>
          <h3>Newest deliveries</h3>
          <ul className="rows">
            {sent.map((delivery) => (
              <Delivery key={delivery.id} delivery={delivery} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
