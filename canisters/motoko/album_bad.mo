// No version of `album.mo`: one of its variables has a type that the kept value does not fit, so
// that the runtime refuses the upgrade.

import Map "mo:core/Map";

persistent actor Album {
  var views : Text = "";
  var mood : { #calm; #busy } = #calm;
  var upgrades : Nat = 0;
  var stuck : Bool = false;
  let photos = Map.empty<Nat, Text>();

  public query func state() : async (Text, Text, Nat, Bool, Nat) {
    (views, debug_show mood, upgrades, stuck, Map.size(photos));
  };
};
