// A file system in memory, in the place of the one that a page does not have, for the tests that make
// temporary files. It has files and folders alone: no links, no permissions, one user.
const memoryFiles = (() => {
  const isFolder = (node) => node.children !== undefined;
  const folder = () => ({ children: new Map(), mode: 0o40777, time: Date.now() });
  const root = folder();
  const opened = new Map();
  let nextFD = 100;

  const fail = (code) => { throw Object.assign(new Error(code), { code }); };
  const parts = (path) => {
    const names = [];
    for (const name of path.split("/")) {
      if (name === "..") names.pop();
      else if (name !== "" && name !== ".") names.push(name);
    }
    return names;
  };
  const find = (path) => {
    let node = root;
    for (const name of parts(path)) {
      if (!isFolder(node)) fail("ENOTDIR");
      node = node.children.get(name) ?? fail("ENOENT");
    }
    return node;
  };
  const parentOf = (path) => {
    const names = parts(path);
    const name = names.pop() ?? fail("EINVAL");
    const parent = find(names.join("/"));
    return isFolder(parent) ? [parent.children, name] : fail("ENOTDIR");
  };
  const resize = (node, size) => {
    const data = new Uint8Array(size);
    data.set(node.data.subarray(0, size));
    node.data = data;
  };
  const stat = (node) => ({
    dev: 1, ino: 1, nlink: 1, uid: 0, gid: 0, rdev: 0, blksize: 4096, blocks: 0, mode: node.mode,
    size: node.data?.length ?? 0, atimeMs: node.time, mtimeMs: node.time, ctimeMs: node.time,
    isDirectory: () => isFolder(node),
  });
  const at = (fd) => opened.get(fd) ?? fail("EBADF");
  const remove = (path, wantsFolder) => {
    const [siblings, name] = parentOf(path);
    const node = siblings.get(name) ?? fail("ENOENT");
    if (isFolder(node) !== wantsFolder) fail(wantsFolder ? "ENOTDIR" : "EISDIR");
    if (wantsFolder && node.children.size > 0) fail("ENOTEMPTY");
    siblings.delete(name);
  };

  const constants = {
    O_WRONLY: 1, O_RDWR: 2, O_CREAT: 0o100, O_EXCL: 0o200, O_TRUNC: 0o1000, O_APPEND: 0o2000, O_DIRECTORY: 0o200000,
  };
  const operations = {
    open(path, flags, mode) {
      const has = (flag) => (flags & flag) !== 0;
      let node = root;
      if (parts(path).length > 0) {
        const [siblings, name] = parentOf(path);
        node = siblings.get(name);
        if (node && has(constants.O_CREAT) && has(constants.O_EXCL)) fail("EEXIST");
        if (!node && !has(constants.O_CREAT)) fail("ENOENT");
        if (!node) siblings.set(name, node = { data: new Uint8Array(), mode: 0o100000 | mode, time: Date.now() });
      }
      if (isFolder(node) && has(constants.O_WRONLY | constants.O_RDWR)) fail("EISDIR");
      if (!isFolder(node) && has(constants.O_DIRECTORY)) fail("ENOTDIR");
      if (!isFolder(node) && has(constants.O_TRUNC)) resize(node, 0);
      opened.set(++nextFD, { node, position: 0, append: has(constants.O_APPEND) });
      return nextFD;
    },
    close(fd) { at(fd); opened.delete(fd); },
    read(fd, buffer, offset, length, position) {
      const file = at(fd);
      if (isFolder(file.node)) fail("EISDIR");
      const from = position ?? file.position;
      const bytes = file.node.data.subarray(from, from + length);
      buffer.set(bytes, offset);
      if (position === null) file.position += bytes.length;
      return bytes.length;
    },
    write(fd, buffer, offset, length, position) {
      const file = at(fd);
      const from = file.append ? file.node.data.length : position ?? file.position;
      if (from + length > file.node.data.length) resize(file.node, from + length);
      file.node.data.set(buffer.subarray(offset, offset + length), from);
      file.node.time = Date.now();
      if (position === null) file.position = from + length;
      return length;
    },
    fstat: (fd) => stat(at(fd).node),
    stat: (path) => stat(find(path)),
    lstat: (path) => stat(find(path)),
    readdir: (path) => [...find(path).children.keys()],
    mkdir(path, mode) {
      const [siblings, name] = parentOf(path);
      if (siblings.has(name)) fail("EEXIST");
      siblings.set(name, { ...folder(), mode: 0o40000 | mode });
    },
    unlink: (path) => remove(path, false),
    rmdir: (path) => remove(path, true),
    rename(from, to) {
      const [siblings, name] = parentOf(from);
      const node = siblings.get(name) ?? fail("ENOENT");
      const [others, other] = parentOf(to);
      siblings.delete(name);
      others.set(other, node);
    },
    truncate: (path, size) => resize(find(path), size),
    ftruncate: (fd, size) => resize(at(fd).node, size),
    chmod(path, mode) { const node = find(path); node.mode = node.mode & 0o170000 | mode; },
    fchmod(fd, mode) { const { node } = at(fd); node.mode = node.mode & 0o170000 | mode; },
    utimes() {},
    fsync() {},
  };

  // install puts the file system on the fs of wasm_exec.js, which keeps the standard output.
  const install = (fs, process) => {
    const print = fs.write;
    fs.constants = constants;
    for (const [name, operation] of Object.entries(operations)) {
      fs[name] = (...args) => {
        const done = args.pop();
        let result;
        try {
          result = operation(...args);
        } catch (err) {
          return done(err);
        }
        done(null, result);
      };
    }
    const write = fs.write;
    fs.write = (fd, ...rest) => (fd < 3 ? print.call(fs, fd, ...rest) : write(fd, ...rest));
    process.cwd = () => "/";

    // Package net finds the address of localhost there.
    operations.mkdir("/tmp", 0o777);
    operations.mkdir("/etc", 0o755);
    const hosts = operations.open("/etc/hosts", constants.O_WRONLY | constants.O_CREAT, 0o644);
    const line = new TextEncoder().encode("127.0.0.1 localhost\n");
    operations.write(hosts, line, 0, line.length, null);
    operations.close(hosts);
  };
  return { install };
})();
