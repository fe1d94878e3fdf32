import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiProblem, isTemporary } from "./api/client";
import { takeKeyFromAddress } from "./api/session";
import { App } from "./app";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/lists.css";
import "./styles/controls.css";
import "./styles/feedback.css";
import "./styles/images.css";
import "./styles/results.css";
import "./styles/snapshots.css";
import "./styles/study.css";

takeKeyFromAddress();
// Before the router hears of it: the screen below the question stays, with what is typed there.
addEventListener("hashchange", ({ oldURL }) => takeKeyFromAddress(new URL(oldURL).hash || undefined));

/** A refusal is an answer, and is not asked again. */
const shouldRetry = (failures: number, error: Error) =>
  isTemporary(error) && failures < (error instanceof ApiProblem ? 3 : 6);

const queries = new QueryClient({
  defaultOptions: { queries: { retry: shouldRetry, staleTime: 2000 }, mutations: { retry: false } },
});
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  );
