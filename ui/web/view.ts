// Made from src/view.rs and src/visible.rs: `HOLDFAST_WRITE_TYPES=1 cargo test -p holdfast-ui`.

export type Screen = { "is": "question" } & QuestionView | { "is": "gone", 
/**
 * What it was.
 */
headline: Array<Piece>, 
/**
 * How many others wait.
 */
others: number, } | { "is": "nothing" } | { "is": "no-broker", 
/**
 * Why, and what to do.
 */
notice: NoticeView, };

export type QuestionView = { 
/**
 * Its name.
 */
call: string, 
/**
 * The most serious effect.
 */
headline: Array<Piece>, 
/**
 * Every effect, the most serious first.
 */
effects: Array<Array<Piece>>, 
/**
 * The agent's kind.
 */
agent: string, 
/**
 * Its session.
 */
session: string, 
/**
 * Where relative paths start.
 */
directory: Array<Piece>, 
/**
 * SHA-256 over the call.
 */
digest: string, 
/**
 * `R0` to `R3`.
 */
tier: string, 
/**
 * What the tier takes.
 */
tierMeans: string, 
/**
 * Why a human is asked.
 */
why: Array<Piece>, 
/**
 * Whether Holdfast understands all of it.
 */
sight: Sight, 
/**
 * Its place in the queue, from 1.
 */
position: number, 
/**
 * How long the queue is.
 */
of: number, 
/**
 * What the agent does meanwhile.
 */
waits: WaitsView, 
/**
 * The call in the agent's own words.
 */
quoted: QuotedView, 
/**
 * How it is approved here.
 */
approval: Approval, 
/**
 * What is being done to it.
 */
act: ActView, 
/**
 * Why the broker cannot be asked, where it cannot.
 */
lost: NoticeView | null, };

export type Sight = "clear" | "uninspectable";

export type WaitsView = { "is": "until", 
/**
 * Milliseconds.
 */
left: number, } | { "is": "late", 
/**
 * Milliseconds.
 */
left: number, };

export type QuotedView = { 
/**
 * The tool.
 */
tool: Array<Piece>, 
/**
 * Its arguments, JSON.
 */
arguments: Array<Piece>, 
/**
 * How many characters more there are.
 */
omitted: number, };

export type Approval = "click" | "pin" | "watched-pin" | "in-terminal" | "elsewhere";

export type ActView = { "is": "waiting" } | { "is": "approving" } | { "is": "denying" } | { "is": "refused", 
/**
 * Why, and what to do.
 */
notice: NoticeView, };

export type NoticeView = { 
/**
 * What happened.
 */
message: Array<Piece>, 
/**
 * What to do next.
 */
advice: Array<Piece>, };

export type Piece = { "is": "plain", "text": string } | { "is": "hidden", "text": string };
