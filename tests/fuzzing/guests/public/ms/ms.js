// The export of a component around the npm package ms, which the builder puts in front of this as `packaged`.

export const ms = (text) => packaged(text);
