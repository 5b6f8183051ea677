// Loaded by Node before NNI's manager (node --require), configured by one environment variable that only the same
// user can read. NNI has no setting for any of this:
//   - it listens on every address: here on loopback, unless the user asked for more;
//   - it answers a request outside its URL prefix with a sentence that names the prefix: here with an empty 404;
//   - it hands out any file for an encoded "../" in an address: here refused;
//   - it keeps a list of all experiments in the home directory: here in the experiment's own folder;
//   - after a resume it counts trials from 1 again: here on from the last;
//   - it outlives the process that started it: here it stops by itself within seconds.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const settings = JSON.parse(process.env.JSNAS_PORTAL || 'null');
delete process.env.JSNAS_PORTAL; // trials need neither
delete process.env.NODE_OPTIONS;

if (settings !== null) {
    process.umask(0o077);
    // Not on the real command line, which every user of the machine can read.
    process.argv.push(`--url-prefix=${settings.prefix}`);
    keepListHere();
    guardRequests();
    if (!settings.everywhere) {
        listenOnLoopback();
    }
    stopWithParent();
    setImmediate(countOn); // when the manager's own modules are there
}

function keepListHere() {
    os.homedir = () => settings.folder;
    const list = path.join(settings.folder, 'nni-experiments', '.experiment');
    fs.mkdirSync(path.dirname(list), { recursive: true });
    const entry = { ...settings.entry, pid: process.pid };
    fs.writeFileSync(list, JSON.stringify({ [entry.id]: entry }));
}

function listenOnLoopback() {
    const listen = net.Server.prototype.listen;
    net.Server.prototype.listen = function (...args) {
        if (args[0] !== null && typeof args[0] === 'object') {
            if (args[0].port !== undefined) {
                args[0] = { ...args[0], host: '127.0.0.1' };
            }
        } else if (!Number.isNaN(Number(args[0]))) { // a port; anything else is the path of a local socket
            const callback = args.find((arg) => typeof arg === 'function');
            args = [{ port: Number(args[0]), host: '127.0.0.1' }, ...(callback ? [callback] : [])];
        }
        return listen.apply(this, args);
    };
}

function guardRequests() {
    const emit = http.Server.prototype.emit;
    const withReply = new Set(['request', 'checkContinue', 'checkExpectation']);
    const withSocket = new Set(['upgrade', 'connect']);
    http.Server.prototype.emit = function (event, request, reply, ...rest) {
        if (withReply.has(event)) {
            reply.setHeader('Referrer-Policy', 'no-referrer');
            if (!mayPass(request.url)) {
                reply.writeHead(404, { 'Content-Length': 0, Connection: 'close' });
                reply.end();
                return true;
            }
        } else if (withSocket.has(event) && !mayPass(request.url)) {
            reply.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
            return true;
        }
        return emit.call(this, event, request, reply, ...rest);
    };
}

function mayPass(url) {
    const address = String(url).split('?')[0];
    const digest = (text) => crypto.createHash('sha256').update(text).digest();
    const known = crypto.timingSafeEqual(digest(address.split('/')[1] || ''), digest(settings.prefix));
    let decoded = address;
    try {
        for (let next; (next = decodeURIComponent(decoded)) !== decoded; decoded = next); // "%252e" may be decoded twice
    } catch {
        return false;
    }
    return known && !decoded.includes('\\') && !decoded.includes('\0') && !decoded.split('/').includes('..');
}

function stopWithParent() {
    setInterval(() => {
        if (process.ppid !== settings.parent) {
            process.kill(process.pid, 'SIGTERM');
        }
    }, 1000).unref();
}

function countOn() {
    const { NNIManager } = require(path.join(path.dirname(process.argv[1]), 'core', 'nnimanager'));
    const recover = NNIManager.prototype.addRecoveredTrialJob;
    NNIManager.prototype.addRecoveredTrialJob = function (jobs) {
        const recovered = recover.call(this, jobs);
        this.experimentProfile.nextSequenceId = 1 + Math.max(-1, ...jobs.map((job) => job.sequenceId ?? -1));
        return recovered;
    };
}
