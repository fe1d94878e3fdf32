/** Studies, as their owner sees them. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Folders } from "../lib/folders";
import { type Method, variantName } from "../lib/variants";
import { ask, BASE, ConnectionLost, client, type Edit, type Job, problemOf, type Schemas } from "./client";
import { currentKey } from "./session";
import { storeImage } from "./upload";

export type Study = Schemas["StudyBody"];
export type StudyResults = Schemas["StudyResults"];
export type NewStudy = Schemas["NewStudy"];
export type StudyFacts = Omit<NewStudy, "systems" | "items">;

const POLL_MS = 5000;
const AT_ONCE = 3;

export const useStudies = () =>
  useInfiniteQuery({
    queryKey: ["studies"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      ask(client.GET("/v1/studies", { params: { query: { limit: 25, cursor: pageParam } } })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const useStudy = (id: string) =>
  useQuery({
    queryKey: ["study", id],
    queryFn: () => ask(client.GET("/v1/studies/{study_id}", { params: { path: { study_id: id } } })),
    refetchInterval: ({ state }) => (state.data?.state === "open" ? POLL_MS : false),
  });

export const useStudyResults = (study: Study) =>
  useQuery({
    queryKey: ["study-results", study.id, study.answers],
    queryFn: () =>
      ask(client.GET("/v1/studies/{study_id}/results", { params: { path: { study_id: study.id } } })),
    enabled: study.state === "closed" && study.answers > 0,
    staleTime: Number.POSITIVE_INFINITY,
  });

export function useCloseStudy(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () =>
      ask(client.POST("/v1/studies/{study_id}/close", { params: { path: { study_id: id } } })),
    onSuccess: (study) => {
      queries.setQueryData(["study", id], study);
      void queries.invalidateQueries({ queryKey: ["studies"] });
    },
  });
}

export function useDeleteStudy(id: string, onDeleted: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => ask(client.DELETE("/v1/studies/{study_id}", { params: { path: { study_id: id } } })),
    onSuccess: async () => {
      onDeleted();
      queries.removeQueries({ queryKey: ["study", id] });
      await queries.invalidateQueries({ queryKey: ["studies"] });
    },
  });
}

/** The table of all answers. */
export async function readTable(id: string): Promise<string> {
  const headers = { Authorization: `Bearer ${currentKey()}` };
  const answer = await fetch(`${BASE}/v1/studies/${id}/results.csv`, { headers }).catch(() => {
    throw new ConnectionLost();
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.text();
}

/** The link for raters. Its fragment has the token, which browsers send to no server. */
export const linkOf = (token: string): string => `${BASE}/#/rate/${token}`;

const create = (body: NewStudy): Promise<Study> => ask(client.POST("/v1/studies", { body }));

/** The system that made an edit: its method and preset. */
export function systemOf(edit: Pick<Edit, "method">, job: Job): string {
  const { choices } = job.parameters as { choices?: { preset?: string } };
  return variantName(edit.method as Method, choices?.preset ?? "balanced");
}

/** Make a study of edits. If they use several trainings, the systems name them. */
export async function studyOfEdits(facts: StudyFacts, editIds: string[]): Promise<Study> {
  const edits = await Promise.all(
    editIds.map((id) => ask(client.GET("/v1/edits/{edit_id}", { params: { path: { edit_id: id } } }))),
  );
  const jobs = await Promise.all(
    edits.map((edit) =>
      ask(client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: edit.job_id ?? "" } } })),
    ),
  );
  const priors = new Set(edits.map((edit) => edit.prior_id));
  const systems: Record<string, string[]> = {};
  edits.forEach((edit, k) => {
    const training = priors.size > 1 && edit.prior_id ? ` · training ${edit.prior_id.slice(-4)}` : "";
    const name = systemOf(edit, jobs[k] as Job) + training;
    systems[name] = [...(systems[name] ?? []), edit.id];
  });
  if (Object.keys(systems).length < 2)
    throw new Error(
      "All of these edits are of the same method and preset: choose edits of two or more. “Compare with other presets or methods” under Edit makes them.",
    );
  return create({ ...facts, systems });
}

/** Upload the images of folders, and make a study of them. `onProgress` gets the share of uploaded images. */
export async function studyOfFolders(
  facts: StudyFacts,
  folders: Folders<File>,
  subjectId: string | null,
  onProgress: (share: number) => void,
): Promise<Study> {
  const files = new Set<File>(folders.references);
  for (const item of folders.items)
    for (const file of [...item.results.values(), ...(item.source ? [item.source] : [])]) files.add(file);
  const ids = new Map<File, string>();
  const waiting = [...files];
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const { name, webkitRelativePath: path } = file;
      const image = await storeImage(file).catch((error: Error) => {
        throw new Error(`${path || name}: ${error.message}`);
      });
      ids.set(file, image.id);
      onProgress(ids.size / files.size);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const idOf = (file: File) => ids.get(file) ?? "";
  const items = folders.items.map((item) => ({
    prompt: item.prompt,
    subject_id: subjectId,
    results: Object.fromEntries([...item.results].map(([system, file]) => [system, idOf(file)])),
    source_image_id: item.source ? idOf(item.source) : null,
    reference_image_ids: folders.references.map(idOf),
  }));
  return create({ ...facts, items });
}
