// Runs before each codec, in a context of its own. It returns what the host needs, taken before the script can change it,
// and closes the gaps of the engine's clock: that is looked at after so many jumps and calls, and a function of the
// engine is one call however long it works. So such functions are made to jump in proportion to what they work on.
(function () {
    'use strict';
    var parse = JSON.parse, stringify = JSON.stringify, define = Object.defineProperty;
    var apply = Reflect.apply, isArray = Array.isArray;
    var LONGEST = 1000000;

    function lengthOf(value) {
        var length = typeof value === 'string' || isArray(value) || ArrayBuffer.isView(value) ? value.length : 0;
        if (length > LONGEST) throw new RangeError('longer than ' + LONGEST);
        return length | 0;
    }

    // Things that are like arrays may tell another length each time they are asked.
    function copied(like) {
        if (like === null || like === undefined) throw new TypeError('not an array');
        var length = like.length, copy = [], i;
        for (i = 0; i < length; i++) copy[i] = like[i];
        return copy;
    }

    function charge(work) {
        while (work-- > 0);
    }

    // Work grows with what goes in.
    function scanning(native, self, shift) {
        return function () {
            var it = self(this), work = lengthOf(it), i = arguments.length;
            while (i-- > 0) work += lengthOf(arguments[i]);
            charge(work >> shift);
            return apply(native, it, arguments);
        };
    }

    // Work grows with what comes out.
    function making(native, self, shift) {
        return function () {
            var it = self(this), made;
            lengthOf(it);
            made = apply(native, it, arguments);
            charge(lengthOf(made) >> shift);
            return made;
        };
    }

    // A word for each function that needs the one or the other; what is not named needs neither.
    function wrap(owner, list, kind, self, shift) {
        list.split(' ').forEach(function (name) {
            if (typeof owner[name] !== 'function') return;
            define(owner, name, {
                value: kind(owner[name], self, shift), writable: true, enumerable: false, configurable: true
            });
        });
    }

    function asString(self) { return typeof self === 'string' ? self : String(self); }
    function asArray(self) { return isArray(self) ? self : copied(self); }
    function asIs(self) { return self; }

    var typed = Object.getPrototypeOf(Uint8Array.prototype);
    wrap(String.prototype, 'slice substring substr repeat padStart padEnd trim trimStart trimEnd', making, asString, 8);
    wrap(String.prototype, 'concat indexOf lastIndexOf includes startsWith endsWith match matchAll search split replace ' +
        'replaceAll normalize toLowerCase toUpperCase toLocaleLowerCase toLocaleUpperCase localeCompare isWellFormed ' +
        'toWellFormed', scanning, asString, 6);
    wrap(Array.prototype, 'slice splice', making, asArray, 4);
    wrap(Array.prototype, 'concat join reverse shift unshift indexOf lastIndexOf includes fill sort copyWithin flat every ' +
        'some forEach map filter reduce reduceRight find findIndex findLast findLastIndex flatMap toString ' +
        'toLocaleString toReversed toSorted toSpliced with', scanning, asArray, 4);
    wrap(typed, 'slice', making, asIs, 6);
    wrap(typed, 'set join reverse indexOf lastIndexOf includes fill sort copyWithin every some forEach map filter reduce ' +
        'reduceRight find findIndex findLast findLastIndex toString toLocaleString toReversed toSorted with',
        scanning, asIs, 4);
    wrap(RegExp.prototype, 'test', scanning, asIs, 6);
    wrap(JSON, 'parse', scanning, asIs, 4);
    wrap(JSON, 'stringify', making, asIs, 4);

    // What a codec has no use for, and no clock could end.
    ['BigInt', 'BigInt64Array', 'BigUint64Array', 'SharedArrayBuffer', 'Atomics', 'Iterator', 'queueMicrotask']
        .forEach(function (name) { delete globalThis[name]; });

    return {
        // A message is an object, and where a text is wanted (JSON.parse) its own text.
        message: function (text) {
            return define(parse(text), 'toString', { value: function () { return text; } });
        },
        bytes: parse,
        // Bytes in any form as a list; one more than may be, so that it shows.
        list: function (value) {
            var view = value, list = [], i;
            if (value instanceof ArrayBuffer) view = new Uint8Array(value);
            else if (value instanceof DataView) view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
            else if (!ArrayBuffer.isView(value)) return value;
            for (i = 0; i < view.length && i <= 65536; i++) list[i] = view[i];
            return list;
        },
        text: function (value) { return typeof value === 'string' ? value : stringify(value); }
    };
})()
