@rem npm start is "exec node ...", so that a signal to npm reaches Node-RED and not a shell in between. Windows has no exec: this is it.
@%*
