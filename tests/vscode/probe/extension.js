// Writes what the editor and its debug adapters say to each other, one JSON object a line, into
// the file DAP_LOG: so that a test can count `stopped` events, where the screen would be a race.

const fs = require('node:fs');
const vscode = require('vscode');

const python = require('./python.js');

function write(entry) {
    fs.appendFileSync(process.env.DAP_LOG, JSON.stringify({ time: Date.now(), ...entry }) + '\n');
}

/** A launch request carries the whole environment. */
function redacted(message) {
    const env = message.arguments?.env && '…';
    return env ? { ...message, arguments: { ...message.arguments, env } } : message;
}

const trackers = {
    createDebugAdapterTracker(session) {
        return {
            onWillReceiveMessage: message => write({ id: session.id, to: 'adapter', message: redacted(message) }),
            onDidSendMessage: message => write({ id: session.id, to: 'editor', message: redacted(message) }),
        };
    },
};

exports.activate = context => {
    const { debug } = vscode;
    context.subscriptions.push(
        ...python.register(),
        debug.registerDebugAdapterTrackerFactory('*', trackers),
        debug.onDidStartDebugSession(session => write({ id: session.id, name: session.name, kind: 'started' })),
        debug.onDidTerminateDebugSession(session => write({ id: session.id, name: session.name, kind: 'ended' })),
    );
    write({ kind: 'activated' });
};
