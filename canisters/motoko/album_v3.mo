// The third version of `album.mo`. A migration turns variables into ones of other types.

import Map "mo:core/Map";
import Nat "mo:core/Nat";

(
  with migration = func(
    old : { var views : Int; var mood : { #calm; #busy; #asleep } }
  ) : { var views : Text; var moods : [Text] } {
    { var views = debug_show old.views; var moods = [debug_show old.mood] };
  }
)
persistent actor Album {
  var views : Text = "";
  var moods : [Text] = [];
  var upgrades : Nat = 0;
  var stuck : Bool = false;
  var extra : Text = "new";
  let photos = Map.empty<Nat, Text>();

  public query func find(number : Nat) : async ?Text {
    Map.get(photos, Nat.compare, number);
  };

  public query func state() : async (Text, [Text], Nat, Bool, Text) {
    (views, moods, upgrades, stuck, extra);
  };
};
