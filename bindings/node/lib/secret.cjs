'use strict';

const SHOWN = '***';

/**
 * A value that shows itself only to `reveal()`: printed, inspected, joined to a text or written as JSON
 * it is `***`, and it has no property that holds it.
 */
class Secret {
  #value;

  constructor(value) {
    if (typeof value !== 'string') throw new TypeError('a secret is a string');
    this.#value = value;
    Object.freeze(this);
  }

  reveal() {
    return this.#value;
  }

  toString() {
    return SHOWN;
  }

  toJSON() {
    return SHOWN;
  }

  [Symbol.toPrimitive]() {
    return SHOWN;
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return SHOWN;
  }
}

/** The text of a value, which may be a `Secret`. */
function value_of(value) {
  return (value instanceof Secret ? value : new Secret(value)).reveal();
}

module.exports = { Secret, value_of };
