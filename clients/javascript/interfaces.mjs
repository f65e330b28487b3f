// Candid interfaces of the canisters that the suites use, as the agents want them.

export const management = ({ IDL }) => {
  const CanisterId = IDL.Record({ canister_id: IDL.Principal });
  const Mode = IDL.Variant({
    install: IDL.Null,
    reinstall: IDL.Null,
    upgrade: IDL.Opt(
      IDL.Record({
        skip_pre_upgrade: IDL.Opt(IDL.Bool),
        wasm_memory_persistence: IDL.Opt(IDL.Variant({ keep: IDL.Null, replace: IDL.Null })),
      }),
    ),
  });
  return IDL.Service({
    provisional_create_canister_with_cycles: IDL.Func(
      [IDL.Record({ amount: IDL.Opt(IDL.Nat) })],
      [CanisterId],
      [],
    ),
    install_code: IDL.Func(
      [
        IDL.Record({
          mode: Mode,
          canister_id: IDL.Principal,
          wasm_module: IDL.Vec(IDL.Nat8),
          arg: IDL.Vec(IDL.Nat8),
        }),
      ],
      [],
      [],
    ),
    canister_status: IDL.Func(
      [CanisterId],
      [
        IDL.Record({
          status: IDL.Variant({ running: IDL.Null, stopping: IDL.Null, stopped: IDL.Null }),
          module_hash: IDL.Opt(IDL.Vec(IDL.Nat8)),
          settings: IDL.Record({ controllers: IDL.Vec(IDL.Principal) }),
          cycles: IDL.Nat,
        }),
      ],
      [],
    ),
  });
};

export const motokoCounter = ({ IDL }) =>
  IDL.Service({
    inc: IDL.Func([], [IDL.Nat], []),
    add: IDL.Func([IDL.Nat], [IDL.Nat], []),
    dec: IDL.Func([], [IDL.Nat], []),
    get: IDL.Func([], [IDL.Nat], ["query"]),
    version: IDL.Func([], [IDL.Nat], ["query"]),
    greet: IDL.Func([IDL.Text], [IDL.Text], ["query"]),
    whoami: IDL.Func([], [IDL.Principal], ["query"]),
    callInc: IDL.Func([IDL.Principal], [IDL.Nat], []),
    callTrap: IDL.Func([IDL.Principal], [IDL.Text], []),
    incThenTrap: IDL.Func([], [], []),
    refuse: IDL.Func([], [IDL.Nat], []),
    setCertified: IDL.Func([IDL.Vec(IDL.Nat8)], [], []),
    certificate: IDL.Func([], [IDL.Opt(IDL.Vec(IDL.Nat8))], ["query"]),
    startTicks: IDL.Func([], [], []),
    stopTicks: IDL.Func([], [IDL.Nat], []),
    getTicks: IDL.Func([], [IDL.Nat], ["query"]),
  });

// The counters in C and WAT have the same methods over integers of different widths; neither has
// the method `missing`.
const counter = (IDL, value) =>
  IDL.Service({
    inc: IDL.Func([], [value], []),
    add: IDL.Func([value], [value], []),
    get: IDL.Func([], [value], ["query"]),
    inc_then_trap: IDL.Func([], [], []),
    missing: IDL.Func([], [], []),
  });

export const cCounter = ({ IDL }) => counter(IDL, IDL.Nat64);

export const watCounter = ({ IDL }) => counter(IDL, IDL.Nat32);

export const limits = ({ IDL }) =>
  IDL.Service({
    spin: IDL.Func([IDL.Nat64], [IDL.Nat64], []),
    recurse: IDL.Func([IDL.Nat64], [IDL.Nat64], []),
    ended: IDL.Func([], [IDL.Nat64], ["query"]),
  });
