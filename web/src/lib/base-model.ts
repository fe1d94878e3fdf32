/** Which base model an edit or a training uses, and what it offers. */
import type { Schemas } from "../api/client";
import { METHODS, type Method } from "./variants";

export type BaseModel = Schemas["ModelBody"];
export type Recipe = Record<string, Record<string, unknown>>;

/** The model with this fingerprint, or else the service's: the default is the first. */
export const modelFor = (models: BaseModel[] | undefined, fingerprint?: string): BaseModel | undefined =>
  models?.find((model) => model.fingerprint === fingerprint) ?? models?.[0];

/** The base models that a training can use, each once: the service's default is the first. */
export const trainable = (models: BaseModel[] | undefined): BaseModel[] => {
  const found = (models ?? []).filter((model) => model.kinds.includes("prior"));
  return found.filter((model, place) => modelFor(found, model.fingerprint) === found[place]);
};

/** The settings that apply where a request gives none; nothing if no worker has reported them. */
export const recipeOf = (model: BaseModel | undefined): Recipe | undefined => {
  const recipe = model?.recipe as Recipe | undefined;
  return recipe && Object.keys(recipe).length > 0 ? recipe : undefined;
};

/** The methods that are made for the base model; all of them if it is not known. */
export const methodsFor = (model: BaseModel | undefined): Method[] => {
  const recipe = recipeOf(model);
  return (Object.keys(METHODS) as Method[]).filter((method) => !recipe || method in recipe);
};
