// The export of a component around the npm package trim, which the builder puts in front of this as `packaged`.

export const trim = (text) => packaged(text);
