// What the product's parts and measures are called on the page, and which belong together.
import { axisMoney, compact, compactMoney, finePercent, humanise, money, number } from "../format.js";

const FEATURES = { workflows: "Workflows", tasks: "Tasks", comments: "Comments", api: "API", ai: "AI assistant" };
export const featureName = (feature) => FEATURES[feature] ?? humanise(feature);

/** Measures of `/v1/usage` that are counted by day; `part` is the share of them that went wrong. */
export const MEASURES = [
  {
    key: "workflow_runs",
    feature: "workflows",
    label: "Workflow runs",
    part: "workflow_runs_failed",
    partLabel: "failed",
  },
  { key: "tasks_completed", feature: "tasks", label: "Tasks completed" },
  { key: "comments", feature: "comments", label: "Comments" },
  { key: "api_requests", feature: "api", label: "API requests", part: "api_errors", partLabel: "errors" },
  { key: "ai_requests", feature: "ai", label: "AI requests" },
  { key: "ai_tokens", feature: "ai", label: "AI tokens" },
  { key: "ai_cost_usd", feature: "ai", label: "AI spend", format: money, axis: axisMoney, total: compactMoney },
].map((each) => ({ format: number, axis: compact, total: compact, ...each }));

export const measuresOf = (feature) => (feature ? MEASURES.filter((each) => each.feature === feature) : MEASURES);

const LIMITS = {
  workflow_runs: { label: "Workflow runs", feature: "workflows" },
  api_requests: { label: "API requests", feature: "api" },
  ai_tokens: { label: "AI tokens", feature: "ai" },
  seats: { label: "Seats", feature: null },
};
export const limitOf = (metric) => LIMITS[metric] ?? { label: humanise(metric), feature: null };

const PEERS = {
  stickiness: {
    label: "Stickiness",
    note: "daily users among 28-day users",
    feature: null,
    format: finePercent,
  },
  seat_use: { label: "Seats in use", note: "of the seats bought", feature: null, format: finePercent },
  api_error_share: {
    label: "API errors",
    note: "of all requests, less is better",
    feature: "api",
    format: finePercent,
    less: true,
  },
};
export const peerOf = (metric) =>
  PEERS[metric] ?? { label: humanise(metric), note: "", feature: null, format: compact };
