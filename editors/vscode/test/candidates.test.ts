import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findCandidates, findInText, isScript, moduleOf } from '../src/core/candidates.ts';

const FOUND: [string, string][] = [
    ['app = FastAPI()', 'app FastAPI'],
    ['app: FastAPI = FastAPI(\n    title="x",\n)', 'app FastAPI'],
    ['api=fastapi.FastAPI()', 'api FastAPI'],
    ['app = Starlette(routes=[])', 'app Starlette'],
    ['app = Flask(__name__)', 'app Flask'],
    ['app = quart.Quart(__name__)', 'app Quart'],
    ['app = Litestar([index])', 'app Litestar'],
    ['application = get_wsgi_application()', 'application Django'],
    ['application = get_asgi_application()', 'application Django'],
    ['api = falcon.asgi.App()', 'api Falcon'],
    ['api = falcon.App()', 'api Falcon'],
    ['async def app(scope, receive, send):\n    pass', 'app ASGI'],
    ['async def app(scope: Scope, receive: Receive, send: Send) -> None:\n    pass', 'app ASGI'],
    ['def app(environ, start_response):\n    pass', 'app WSGI'],
    ['def create_app():\n    return Flask(__name__)', 'create_app factory'],
    ['def create_app(config: str | None = None, *, debug=False) -> Flask:', 'create_app Flask factory'],
    ['def make_application(\n    config=None,  # not, needed\n):', 'make_application factory'],
    ['def whatever() -> FastAPI:', 'whatever FastAPI factory'],
    ['def whatever() -> "fastapi.FastAPI":', 'whatever FastAPI factory'],
    ['app = create_app()\ndef create_app():\n    pass', 'app, create_app factory'],
    ['other = FastAPI()\r\napp = FastAPI()\r\n', 'app FastAPI, other FastAPI'],
    ['def create_app(config):\n    pass', ''],
    ['def create_app(config, debug=True):\n    pass', ''],
    ['    app = FastAPI()', ''],
    ['# app = FastAPI()', ''],
    ['"""Example:\n\napp = FastAPI()\n"""', ''],
    ["'''\napp = FastAPI()\n'''\napi = Flask(__name__)", 'api Flask'],
    ['app = Sanic("x")', ''],
    ['app = MyFastAPI()', ''],
    ['app = FastAPIFactory()', ''],
    ['async def create_app():\n    pass', ''],
    ['def app(scope, receive, send):\n    pass', ''],
    ['app == FastAPI()', ''],
    ['', ''],
];

for (const [text, expected] of FOUND) {
    test(`found in ${JSON.stringify(text)}`, () => {
        const found = findInText(text).map(each =>
            [each.name, each.kind, each.factory ? 'factory' : ''].filter(Boolean).join(' '),
        );
        assert.equal(found.join(', '), expected);
    });
}

const MODULES: [string, string, string[], string, string][] = [
    ['app.py', '', [], 'app', ''],
    ['src/app.py', '', [], 'app', 'src'],
    ['src/pkg/app.py', '', ['src/pkg'], 'pkg.app', 'src'],
    ['pkg/sub/app.py', '', ['pkg', 'pkg/sub'], 'pkg.sub.app', ''],
    ['pkg/__init__.py', '', ['pkg'], 'pkg', ''],
    ['shop/main.py', 'from shop.db import session\n', [], 'shop.main', ''],
    ['src/shop/main.py', 'from . import db\n', ['src/shop'], 'shop.main', 'src'],
    ['shop/main.py', 'import shop.db\n', [], 'shop.main', ''],
    ['shop/main.py', 'from . import db\n', [], 'shop.main', ''],
    ['shop/main.py', 'from shopping import db\n', [], 'main', 'shop'],
];

for (const [path, text, packages, module, appDir] of MODULES) {
    test(`the module of ${path} with ${JSON.stringify(text)}`, () => {
        const found = moduleOf({ path, text }, directory => packages.includes(directory));
        assert.deepEqual(found, { module, appDir });
    });
}

test('the best candidate comes first', () => {
    const text = 'app = FastAPI()';
    const paths = ['tests/app.py', 'docs/app.py', 'deep/er/main.py', 'other.py', 'main.py', 'not-a-name.py'];
    const files = paths.map(path => ({ path, text }));
    const order = findCandidates(files).map(each => each.file);
    assert.deepEqual(order, ['main.py', 'other.py', 'deep/er/main.py', 'docs/app.py', 'tests/app.py']);
    assert.equal(findCandidates(files, 'tests/app.py')[0]?.file, 'tests/app.py');
    assert.deepEqual(findCandidates(files).find(each => each.file === 'deep/er/main.py'), {
        app: 'main:app',
        factory: false,
        appDir: 'deep/er',
        kind: 'FastAPI',
        file: 'deep/er/main.py',
    });
});

test('a file says that it is a script', () => {
    assert.ok(isScript('x = 1\nif __name__ == "__main__":\n    main()\n'));
    assert.ok(!isScript('def f():\n    if __name__ == "__main__":\n        pass\n'));
});
