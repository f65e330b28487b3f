// Makes canisters of an actor class by way of the management canister, with cycles of its own.

import List "mo:core/List";
import Principal "mo:core/Principal";
import PupilClass "pupil";

persistent actor School {
  type Pupil = PupilClass.Pupil;

  let pupils = List.empty<Pupil>();

  // A canister of its own for a new pupil.
  public func enrol(name : Text) : async Principal {
    let pupil = await (with cycles = 2_000_000_000_000) PupilClass.Pupil(name);
    List.add(pupils, pupil);
    Principal.fromActor(pupil);
  };

  // Each pupil learns at the same time; what they have learnt together.
  public func lesson() : async Nat {
    var sum = 0;
    for (pupil in List.values(pupils)) { sum += await pupil.learn() };
    sum;
  };

  // Upgrades the first pupil, which keeps what it learnt.
  public func rename(name : Text) : async (Text, Text, Nat) {
    let pupil = List.at(pupils, 0);
    let renamed = await (system PupilClass.Pupil)(#upgrade pupil)(name);
    await renamed.card();
  };

  // Installs the first pupil anew, so that it has learnt nothing.
  public func replace(name : Text) : async (Text, Text, Nat) {
    let pupil = List.at(pupils, 0);
    let replaced = await (system PupilClass.Pupil)(#reinstall pupil)(name);
    await replaced.card();
  };

  type Management = actor {
    canister_status : { canister_id : Principal } -> async {
      status : { #running; #stopping; #stopped };
      cycles : Nat;
      settings : { controllers : [Principal] };
    };
    stop_canister : { canister_id : Principal } -> async ();
    delete_canister : { canister_id : Principal } -> async ();
    deposit_cycles : { canister_id : Principal } -> async ();
  };

  transient let management : Management = actor "aaaaa-aa";

  // Cycles and controllers of the first pupil.
  public func inspectFirst() : async (Nat, [Principal]) {
    let canister_id = Principal.fromActor(List.at(pupils, 0));
    let status = await management.canister_status({ canister_id });
    (status.cycles, status.settings.controllers);
  };

  public func feedFirst(amount : Nat) : async () {
    let canister_id = Principal.fromActor(List.at(pupils, 0));
    await (with cycles = amount) management.deposit_cycles({ canister_id });
  };

  // The last pupil leaves, and its canister is gone.
  public func dismiss() : async () {
    let ?pupil = List.removeLast(pupils) else return;
    let canister_id = Principal.fromActor(pupil);
    await management.stop_canister({ canister_id });
    await management.delete_canister({ canister_id });
  };
};
