// Which Python runs `devlaunch adapter`, and whether it can. Pure.

/** The first of these that there is. */
export interface Sources {
    /** `debugAdapterPython` of the configuration. */
    readonly configuration?: string | undefined;
    /** What is selected in the Python extension. */
    readonly extension?: string | undefined;
    /** The setting `devlaunch.python`. */
    readonly setting?: string | undefined;
    readonly folder?: string | undefined;
    readonly home: string;
    readonly platform: string;
}

export type Origin = 'configuration' | 'extension' | 'setting' | 'venv' | 'path';

export interface Choice {
    readonly python: string;
    readonly origin: Origin;
}

export async function choose(
    sources: Sources,
    exists: (path: string) => Promise<boolean>,
): Promise<Choice> {
    const { configuration, extension, setting, folder } = sources;
    if (configuration) return { python: expand(configuration, sources), origin: 'configuration' };
    if (extension) return { python: extension, origin: 'extension' };
    if (setting) return { python: expand(setting, sources), origin: 'setting' };
    const isWindows = sources.platform === 'win32';
    if (folder) {
        const python = join(folder, isWindows ? '.venv/Scripts/python.exe' : '.venv/bin/python', sources);
        if (await exists(python)) return { python, origin: 'venv' };
    }
    return { python: isWindows ? 'python' : 'python3', origin: 'path' };
}

/** A path as people write it in settings: with ~, ${workspaceFolder}, or relative to the folder. */
function expand(text: string, sources: Sources): string {
    const folder = sources.folder ?? '';
    const path = text.trim().replaceAll('${workspaceFolder}', folder);
    if (path === '~' || /^~[/\\]/.test(path)) return sources.home + path.slice(1);
    const isAbsolute = /^([/\\]|[A-Za-z]:)/.test(path);
    return !isAbsolute && folder && /[/\\]/.test(path) ? join(folder, path, sources) : path;
}

function join(folder: string, path: string, { platform }: Sources): string {
    const joined = `${folder.replace(/[/\\]$/, '')}/${path}`;
    return platform === 'win32' ? joined.replaceAll('/', '\\') : joined;
}

// --- what an interpreter says of itself ---------------------------------------------------------

const MARK = 'devlaunch-probe:';

/** A program that Python 2 can compile, so that it can still say how old it is. */
export const PROBE = `
import sys
sys.path = [entry for entry in sys.path if entry]
import json
found = []
if sys.version_info >= (3, 11):
    import importlib.util
    found = [name for name in ("devlaunch", "pip") if importlib.util.find_spec(name)]
sys.stdout.write("\\n${MARK}" + json.dumps([list(sys.version_info[:2]), found]) + "\\n")
`;

export type Verdict =
    | { readonly kind: 'ready' }
    | { readonly kind: 'missing'; readonly hasPip: boolean }
    | { readonly kind: 'old'; readonly version: string }
    | { readonly kind: 'broken'; readonly reason: string };

export const OLDEST = [3, 11] as const;

/** What to make of the probe's output, and of how it ended. */
export function judge(stdout: string, failure = ''): Verdict {
    const line = stdout.split(/\r?\n/).find(each => each.startsWith(MARK));
    if (!line) return { kind: 'broken', reason: failure || 'it did not say what it is' };
    const [[major, minor], found] = JSON.parse(line.slice(MARK.length)) as [[number, number], string[]];
    if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
        return { kind: 'old', version: `${major}.${minor}` };
    }
    if (found.includes('devlaunch')) return { kind: 'ready' };
    return { kind: 'missing', hasPip: found.includes('pip') };
}

/** On PyPI; there `devlaunch` is another project. */
const DISTRIBUTION = 'devlaunch-debug';

/** The command that installs devlaunch; environments that uv has made have no pip of their own. */
export function installCommand(python: string, hasPip: boolean): [string, ...string[]] {
    return hasPip
        ? [python, '-m', 'pip', 'install', DISTRIBUTION]
        : ['uv', 'pip', 'install', '--python', python, DISTRIBUTION];
}

/** -P: a module of the workspace must not be imported in the place of one of the adapter's. */
export const ADAPTER_ARGUMENTS = ['-P', '-m', 'devlaunch', 'adapter'];
