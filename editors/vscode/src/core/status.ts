// What the status bar shows for the event `devlaunchState`. Pure.

export type WhilePaused = 'wait' | 'restart';

/** The body of the event. */
export interface RunState {
    readonly state: string;
    readonly generation: number;
    readonly seconds: number | null;
    readonly pending: readonly string[];
    readonly url: string | null;
    readonly whilePaused: WhilePaused;
}

export interface Shown {
    readonly text: string;
    /** Lines of the hover. */
    readonly details: readonly string[];
    readonly severity: 'error' | 'none' | 'warning';
}

/** Translates; {0} is replaced by the first argument. */
export type Translate = (message: string, ...args: (number | string)[]) => string;

/** The state in an event's body; undefined when it is none. */
export function parseState(body: unknown): RunState | undefined {
    if (typeof body !== 'object' || body === null) return undefined;
    const { state, generation, seconds, pending, url, whilePaused } = body as Record<string, unknown>;
    if (typeof state !== 'string') return undefined;
    return {
        state,
        generation: typeof generation === 'number' ? generation : 0,
        seconds: typeof seconds === 'number' ? seconds : null,
        pending: Array.isArray(pending) ? pending.filter(path => typeof path === 'string') : [],
        url: typeof url === 'string' ? url : null,
        whilePaused: whilePaused === 'restart' ? 'restart' : 'wait',
    };
}

/** `files` are the names of `run.pending`, short. */
export function show(run: RunState | undefined, files: readonly string[], t: Translate): Shown {
    const details = run ? detailsOf(run, files, t) : [];
    const shown = (icon: string, words: string, severity: Shown['severity'] = 'none'): Shown => ({
        text: `$(${icon}) devlaunch${words && `: ${words}`}`,
        details,
        severity,
    });
    switch (run?.state) {
        case 'starting':
            return shown('sync~spin', t('starting'));
        case 'reloading':
            return shown('sync~spin', t('reloading'));
        case 'stopping':
            return shown('sync~spin', t('stopping'));
        case 'serving':
            return shown('pass', servingWords(run, t));
        case 'paused':
            return run.pending.length > 0
                ? shown('debug-pause', t('paused, reloads on continue'), 'warning')
                : shown('debug-pause', t('paused'));
        case 'broken':
            return shown('error', t('broken, waits for a change'), 'error');
        case 'stopped':
            return shown('circle-slash', t('ended, waits for a change'));
        default:
            return shown('debug-alt', '');
    }
}

function servingWords(run: RunState, t: Translate): string {
    if (run.seconds === null) return t('running');
    const seconds = run.seconds.toFixed(2);
    if (run.generation <= 1) return t('started in {0} s', seconds);
    // A program without a URL of ours has only begun.
    return run.url ? t('reloaded in {0} s', seconds) : t('restarted in {0} s', seconds);
}

function detailsOf(run: RunState, files: readonly string[], t: Translate): string[] {
    const details = [];
    if (run.url) details.push(run.url);
    if (files.length > 0) details.push(t('Changed while paused: {0}', files.join(', ')));
    details.push(whilePausedWords(run.whilePaused, t));
    if (run.generation > 1) details.push(t('Starts so far: {0}', run.generation));
    return details;
}

/** What a save does while the app is paused. */
export function whilePausedWords(value: WhilePaused, t: Translate): string {
    return value === 'restart'
        ? t('A save while paused reloads at once.')
        : t('A save while paused waits for continue.');
}

/** The app's URL if a browser can open it; a Unix socket's it cannot. */
export function browsable(run: RunState | undefined): string | undefined {
    return run?.url?.startsWith('http') ? run.url : undefined;
}
