// The interpreter that runs the adapter: found, asked, and given devlaunch if the user wants that.

import { execFile } from 'node:child_process';
import { homedir } from 'node:os';

import * as vscode from 'vscode';

import { type Choice, PROBE, type Verdict, choose, installCommand, judge } from './core/interpreter.ts';

const PROBE_TIMEOUT = 20_000;

/** What we use of the API of `ms-python.python`, which need not be there. */
interface PythonExtension {
    readonly environments: {
        getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
        resolveEnvironment(path: {
            readonly path: string;
        }): Promise<{ readonly executable: { readonly uri?: vscode.Uri } } | undefined>;
    };
}

/** Those that were seen to have devlaunch. */
const ready = new Set<string>();

/** The interpreter for a session; undefined when there is none and the user has been told. */
export async function findPython(
    folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
): Promise<string | undefined> {
    const choice = await chosen(folder, configuration);
    if (ready.has(choice.python)) return choice.python;
    const verdict = await ask(choice.python);
    if (verdict.kind === 'ready' || (await amend(choice, verdict, folder))) {
        ready.add(choice.python);
        return choice.python;
    }
    return undefined;
}

/** As `findPython`, without a word to the user. */
export async function findPythonQuietly(
    folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
): Promise<string | undefined> {
    const { python } = await chosen(folder, configuration);
    return ready.has(python) || (await ask(python)).kind === 'ready' ? python : undefined;
}

async function chosen(
    folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
): Promise<Choice> {
    const setting = vscode.workspace.getConfiguration('devlaunch', folder).get<string>('python');
    const given: unknown = configuration['debugAdapterPython'];
    return choose(
        {
            configuration: typeof given === 'string' ? given : undefined,
            extension: await fromExtension(folder),
            setting,
            folder: folder?.uri.fsPath,
            home: homedir(),
            platform: process.platform,
        },
        async path => {
            try {
                await vscode.workspace.fs.stat(vscode.Uri.file(path));
                return true;
            } catch {
                return false;
            }
        },
    );
}

async function fromExtension(folder: vscode.WorkspaceFolder | undefined): Promise<string | undefined> {
    const extension = vscode.extensions.getExtension<PythonExtension | undefined>('ms-python.python');
    try {
        const api = await extension?.activate();
        if (!api?.environments) return undefined;
        const active = api.environments.getActiveEnvironmentPath(folder?.uri);
        return (await api.environments.resolveEnvironment(active))?.executable.uri?.fsPath;
    } catch (error) {
        console.warn('devlaunch: the Python extension does not name an interpreter:', error);
        return undefined;
    }
}

async function ask(python: string): Promise<Verdict> {
    return new Promise(resolve => {
        execFile(python, ['-c', PROBE], { timeout: PROBE_TIMEOUT }, (error, stdout, stderr) => {
            const last = stderr.trim().split('\n').at(-1) ?? '';
            resolve(judge(stdout, error ? last || error.message : last));
        });
    });
}

/** Tell the user what is wrong; true when it was put right. */
async function amend(
    { python, origin }: Choice,
    verdict: Verdict,
    folder: vscode.WorkspaceFolder | undefined,
): Promise<boolean> {
    const select =
        origin === 'extension' ? vscode.l10n.t('Select Interpreter') : vscode.l10n.t('Open Settings');
    const install = vscode.l10n.t('Install devlaunch');
    const buttons = verdict.kind === 'missing' ? [install, select] : [select];
    const detail = vscode.l10n.t('It is looked for in the Python extension, the setting devlaunch.python, .venv, and on PATH.');
    const answer = await vscode.window.showErrorMessage(
        textOf(python, verdict),
        { modal: true, detail },
        ...buttons,
    );
    if (answer === install && verdict.kind === 'missing') {
        return runInstall(installCommand(python, verdict.hasPip), python, folder);
    }
    if (answer === select) await openChoice(origin);
    return false;
}

function textOf(python: string, verdict: Verdict): string {
    switch (verdict.kind) {
        case 'old':
            return vscode.l10n.t('devlaunch needs Python 3.11 or newer; {0} is Python {1}.', python, verdict.version);
        case 'broken':
            return vscode.l10n.t('{0} is no Python that devlaunch can use: {1}', python, verdict.reason);
        default:
            return vscode.l10n.t('devlaunch is not installed in {0}.', python);
    }
}

async function openChoice(origin: Choice['origin']): Promise<void> {
    await (origin === 'extension'
        ? vscode.commands.executeCommand('python.setInterpreter')
        : vscode.commands.executeCommand('workbench.action.openSettings', 'devlaunch.python'));
}

/** In a terminal that the user sees; a task, since shells disagree about how to quote. */
async function runInstall(
    [program, ...args]: [string, ...string[]],
    python: string,
    folder: vscode.WorkspaceFolder | undefined,
): Promise<boolean> {
    const task = new vscode.Task(
        { type: 'process' },
        folder ?? vscode.TaskScope.Workspace,
        vscode.l10n.t('install devlaunch'),
        'devlaunch',
        new vscode.ProcessExecution(program, args),
    );
    task.presentationOptions = { reveal: vscode.TaskRevealKind.Always };
    const status = await run(task);
    if (status === 0 && (await ask(python)).kind === 'ready') return true;
    await vscode.window.showErrorMessage(
        vscode.l10n.t('devlaunch could not be installed in {0}; the terminal says why.', python),
    );
    return false;
}

async function run(task: vscode.Task): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
        const end = ({ task: ended }: vscode.TaskExecution, status?: number): void => {
            if (ended.name !== task.name || ended.source !== task.source) return;
            for (const each of listeners) each.dispose();
            resolve(status);
        };
        const listeners = [
            vscode.tasks.onDidEndTaskProcess(event => end(event.execution, event.exitCode)),
            // Without a process, as when the program does not exist, this is all there is.
            vscode.tasks.onDidEndTask(event => setTimeout(() => end(event.execution), 0)),
        ];
        vscode.tasks.executeTask(task).then(undefined, reject);
    });
}
