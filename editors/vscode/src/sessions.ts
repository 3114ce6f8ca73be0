// The running sessions, and the status bar that shows the one of interest.

import * as vscode from 'vscode';

import { TYPE } from './core/configurations.ts';
import { type RunState, type WhilePaused, browsable, parseState, show, whilePausedWords } from './core/status.ts';

const EVENT = 'devlaunchState';
const MESSAGE_TIME = 5000;

interface Running {
    readonly session: vscode.DebugSession;
    state?: RunState;
}

export class Sessions implements vscode.Disposable {
    private readonly running = new Map<string, Running>();
    private readonly item: vscode.StatusBarItem;
    private readonly listeners: vscode.Disposable[];

    constructor() {
        this.item = vscode.window.createStatusBarItem('status', vscode.StatusBarAlignment.Left, 90);
        this.item.name = 'devlaunch';
        this.item.command = 'devlaunch.restart';
        this.listeners = [
            this.item,
            vscode.debug.onDidStartDebugSession(session => this.started(session)),
            vscode.debug.onDidTerminateDebugSession(session => this.ended(session)),
            vscode.debug.onDidChangeActiveDebugSession(() => this.draw()),
            vscode.debug.onDidReceiveDebugSessionCustomEvent(event => this.received(event)),
        ];
    }

    dispose(): void {
        for (const each of this.listeners) each.dispose();
    }

    async restart(): Promise<void> {
        await this.current()?.session.customRequest('restart', {});
    }

    async openInBrowser(): Promise<void> {
        const url = browsable(this.current()?.state);
        if (url) {
            await vscode.env.openExternal(vscode.Uri.parse(url));
        } else {
            await vscode.window.showInformationMessage(vscode.l10n.t('What runs has no address for a browser.'));
        }
    }

    async showOutput(): Promise<void> {
        const configuration = this.current()?.session.configuration;
        const console = String(configuration?.['console'] ?? 'internalConsole');
        const command =
            console === 'internalConsole' ? 'workbench.debug.action.focusRepl' : 'workbench.action.terminal.focus';
        await vscode.commands.executeCommand(command);
    }

    async toggleReloadWhilePaused(): Promise<void> {
        const current = this.current();
        const value: WhilePaused = current?.state?.whilePaused === 'restart' ? 'wait' : 'restart';
        await current?.session.customRequest('devlaunchWhilePaused', { value });
        vscode.window.setStatusBarMessage(whilePausedWords(value, vscode.l10n.t), MESSAGE_TIME);
    }

    private started(session: vscode.DebugSession): void {
        if (isRun(session)) this.entry(session);
        this.draw();
    }

    private ended(session: vscode.DebugSession): void {
        this.running.delete(session.id);
        this.draw();
    }

    private received({ event, session, body }: vscode.DebugSessionCustomEvent): void {
        const state = event === EVENT && session.type === TYPE ? parseState(body) : undefined;
        if (!state) return;
        this.entry(session).state = state;
        this.draw();
    }

    /** Events may come before the session counts as started. */
    private entry(session: vscode.DebugSession): Running {
        const entry = this.running.get(session.id) ?? { session };
        this.running.set(session.id, entry);
        return entry;
    }

    /** The session in focus, or the run whose process that is; else the latest. */
    private current(): Running | undefined {
        for (let each = vscode.debug.activeDebugSession; each; each = each.parentSession) {
            const found = this.running.get(each.id);
            if (found) return found;
        }
        return [...this.running.values()].at(-1);
    }

    private draw(): void {
        const current = this.current();
        void vscode.commands.executeCommand('setContext', 'devlaunch.active', current !== undefined);
        void vscode.commands.executeCommand(
            'setContext', 'devlaunch.browsable', browsable(current?.state) !== undefined,
        );
        if (!current) {
            this.item.hide();
            return;
        }
        const files = current.state?.pending.map(path => vscode.workspace.asRelativePath(path)) ?? [];
        const { text, details, severity } = show(current.state, files, vscode.l10n.t);
        this.item.text = text;
        this.item.tooltip = [current.session.name, ...details, vscode.l10n.t('Click to restart.')].join('\n');
        this.item.backgroundColor =
            severity === 'none' ? undefined : new vscode.ThemeColor(`statusBarItem.${severity}Background`);
        this.item.show();
    }
}

/** Whether this is a run, and not one of the processes that its app has started. */
function isRun(session: vscode.DebugSession): boolean {
    return session.type === TYPE && session.configuration['subProcessId'] === undefined;
}
